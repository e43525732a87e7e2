// What is to be ranked, read from what is typed and from files: pairs of a document and where it comes from.

function inStrings(value, change) {
  if (typeof value === "string") return change(value)
  if (Array.isArray(value)) return value.map(each => inStrings(each, change))
  if (value === null || typeof value !== "object") return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [change(name), inStrings(each, change)]))
}

// Half an emoji is no text for most programs that the request is copied into.
export const whole = value => inStrings(value, text => text.toWellFormed())
export const clip = (value, length) => inStrings(value, text => text.slice(0, length))

function parse(text, name) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`)
  }
}

function list(text, name) {
  const read = parse(text, name)
  const found = Array.isArray(read) ? read : read?.documents
  if (!Array.isArray(found)) throw new Error(`${name} must be a list of documents, or an object with \`documents\``)
  return whole(found)
}

export const fromJson = (text, name, source) => list(text, name).map((each, index) => [each, `${source} ${index + 1}`])

export function fromLines(text, source, read = whole) {
  return text.split(/\r\n|\n|\r/).flatMap((line, index) => line.trim() ? [[read(line, index), `${source} ${index + 1}`]] : [])
}

export function fromFile({ name, text }, byLine) {
  if (/\.json$/i.test(name)) return fromJson(text, "it", name)
  if (/\.(jsonl|ndjson)$/i.test(name)) return fromLines(text, name, (line, index) => whole(parse(line, `line ${index + 1}`)))
  return byLine ? fromLines(text, name) : [[whole(text), name]]
}

// In another encoding wrong letters would be ranked; UTF-16 tells itself by its first two bytes.
export function decode(bytes) {
  const [first, second] = new Uint8Array(bytes)
  const encoding = first === 0xff && second === 0xfe ? "UTF-16LE" : first === 0xfe && second === 0xff ? "UTF-16BE" : "UTF-8"
  let text
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    throw new Error(`it is not ${encoding}`)
  }
  if (text.includes("\0")) throw new Error("it is no text")
  return text
}
