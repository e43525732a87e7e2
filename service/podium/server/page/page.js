// The page that ranks. What a caller or the server says is only ever put in as text.

import { KINDS, textOf } from "./requests.js"

const ROWS = 100 // at a time: ten thousand at once would stop the tab for seconds
const SHOWN = 600 // characters of a document, and of code beyond its first documents
const $ = id => document.getElementById(id)

let info = {} // what /info tells, empty where it may not be asked
let files = [] // {name, text}
let sent = null // {body, sources}, the request that `answered` answers
let answered = [] // its results, best first
let running = null

function make(tag, className, text) {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

const keyHeader = () => $("key").value ? { authorization: "Bearer " + $("key").value } : {}
const milliseconds = value => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en")) + " ms"
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`

async function introduce() {
  try {
    const root = await (await fetch("./", { headers: { accept: "application/json" } })).json()
    $("version").textContent = root.version
    $("about").textContent = `Ranks documents for a query with ${root.model}` + (root.status === "ready" ? "." : `, which is ${root.status}.`)
    if (root.status !== "ready") setTimeout(introduce, 2000)
    const answer = await fetch("info", { headers: keyHeader() })
    if (!answer.ok) return
    info = await answer.json()
    $("instructed").hidden = info.instruction_use === "none"
    $("instruction").placeholder = info.instruction ?? ""
    showCode()
  } catch { /* the first request will say what is wrong */ }
}

// What is to be ranked.

function fromJson(text, name) {
  let read
  try {
    read = JSON.parse(text)
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`)
  }
  const list = Array.isArray(read) ? read : read?.documents
  if (!Array.isArray(list)) throw new Error(`${name} must be a list of documents, or an object with \`documents\``)
  return list
}

function fromLines(text, name, read = line => line) {
  return text.split(/\r\n|\n|\r/).flatMap((line, index) => line.trim() ? [[read(line, index), `${name} ${index + 1}`]] : [])
}

function fromFile({ name, text }) {
  if (/\.json$/i.test(name)) return fromJson(text, name).map((each, index) => [each, `${name} ${index + 1}`])
  if (/\.(jsonl|ndjson)$/i.test(name)) return fromLines(text, name, (line, index) => fromJson(`[${line}]`, `${name} ${index + 1}`)[0])
  return $("by-line").checked ? fromLines(text, name) : [[text, name]]
}

function compose() {
  const typed = $("documents").value
  const asJson = $("ask").elements.form.value === "json"
  const own = !asJson ? fromLines(typed, "line")
    : typed.trim() ? fromJson(typed, "What is typed").map((each, index) => [each, `document ${index + 1}`]) : []
  const pairs = [...own, ...files.flatMap(fromFile)]
  const body = { model: info.served_model_name ?? "podium", query: $("query").value, documents: pairs.map(([each]) => whole(each)) }
  if ($("top").value) body.top_n = Number($("top").value)
  if (!$("instructed").hidden && $("instruction").value.trim()) body.instruction = $("instruction").value
  if ($("overflow").value === "chunk") {
    body.overflow = "chunk"
    body.relevant_spans = { mode: "enabled", threshold: 0, max_spans: 1 }
  }
  body.return_details = true
  return { body, sources: pairs.map(([, source]) => source) }
}

// Half an emoji is no text for most programs that the request is copied into.
const whole = each => typeof each === "string" && each.toWellFormed ? each.toWellFormed() : each

// Asking, and what is answered.

async function rank() {
  running?.abort()
  const mine = running = new AbortController()
  $("error").textContent = ""
  $("status").textContent = "Ranking…"
  try {
    const asked = compose()
    const raw = JSON.stringify(asked.body)
    const started = performance.now()
    const answer = await fetch("v2/rerank", {
      method: "POST", body: raw, signal: mine.signal, headers: { "content-type": "application/json", ...keyHeader() },
    })
    const text = await answer.text()
    const took = performance.now() - started
    let read
    try { read = JSON.parse(text) } catch { read = { message: text.slice(0, SHOWN) } }
    if (!answer.ok) throw new Error(`${answer.status}: ${read.message ?? text.slice(0, SHOWN)}`)
    sent = asked
    show(read, took, answer.headers)
  } catch (error) {
    if (mine !== running) return
    $("status").textContent = ""
    $("error").textContent = error instanceof TypeError ? `The server did not answer: ${error.message}` : error.message
  }
}

function show(answer, took, headers) {
  answered = answer.results
  const cut = Number(headers.get("x-podium-truncated-documents"))
  $("status").textContent = `${plural(sent.sources.length, "document")} ranked in ${milliseconds(took)}` + (cut ? `, ${cut.toLocaleString("en")} cut to fit.` : ".")
  showTimes(took, headers.get("server-timing") ?? "", answer.usage?.total_tokens ?? 0)
  $("results").replaceChildren()
  more()
}

function showTimes(took, header, tokens) {
  const server = Object.fromEntries([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]))
  const cached = server.total !== undefined && !server.inference
  const rows = [["In the browser", milliseconds(took)]]
  if (server.total !== undefined) rows.push(["Server", milliseconds(server.total) + (cached ? ", from its cache" : "")])
  if (!cached) for (const name of ["queue", "tokenization", "inference"]) if (name in server) rows.push([name, milliseconds(server[name])])
  rows.push(["Tokens", tokens.toLocaleString("en")])
  $("times").replaceChildren(...rows.map(([name, value]) => {
    const row = make("div")
    row.append(make("dt", "", name), make("dd", "", value))
    return row
  }))
}

function more() {
  const begun = $("results").childElementCount
  $("results").append(...answered.slice(begun, begun + ROWS).map((result, index) => row(result, begun + index + 1)))
  const left = answered.length - $("results").childElementCount
  $("more").hidden = left === 0
  $("more").textContent = `Show ${Math.min(left, ROWS)} more of ${left.toLocaleString("en")}`
}

function row(result, place) {
  const item = make("li"), score = make("div", "score"), track = make("div", "track"), bar = make("div", "bar")
  track.ariaHidden = "true"
  bar.style.width = `${100 * result.relevance_score}%`
  track.append(bar)
  score.append(make("span", "", `${place}.`), make("strong", "", result.relevance_score.toFixed(4)), track)
  const text = textOf(sent.body.documents[result.index])
  const about = make("p", "about", sent.sources[result.index])
  if (result.tokens !== undefined) about.append(` · ${plural(result.tokens, "token")}`)
  if (result.truncated) about.append(" · ", make("span", "cut", "cut"))
  item.append(score, passage(text, result.relevant_spans?.[0], about), about)
  return item
}

// The passage that won, where windows were read and it is not all of the text; else the text's beginning.
function passage(text, span, about) {
  const shown = make("p")
  const [start, end] = span ? units(text, span) : [0, 0]
  if (span && (start > 0 || end < text.length)) {
    const mark = make("mark", "", text.slice(start, Math.min(end, start + SHOWN)))
    const after = text.slice(end, end + 80)
    shown.append(start > 80 ? "…" : "", text.slice(Math.max(0, start - 80), start), mark)
    shown.append(end > start + SHOWN ? " … " : "", after, end + 80 < text.length ? "…" : "")
    about.append(` · won by characters ${span.start + 1} to ${span.end}, ${span.score.toFixed(4)}`)
  } else {
    shown.textContent = text.slice(0, SHOWN)
    if (text.length > SHOWN) shown.append("…")
  }
  if (text.length > shown.textContent.length) {
    const all = make("button", "", "Whole text")
    all.type = "button"
    all.addEventListener("click", () => { shown.textContent = text; shown.tabIndex = -1; shown.focus(); all.remove() })
    about.append(" ", all)
  }
  return shown
}

// The server counts code points, JavaScript counts halves of those beyond the first plane.
function units(text, { start, end }) {
  if (!/[\ud800-\udfff]/.test(text)) return [start, end]
  const points = Array.from(text)
  const before = points.slice(0, start).join("").length
  return [before, before + points.slice(start, end).join("").length]
}

// The same request elsewhere.

function code(documents) {
  const { body } = compose()
  const base = new URL(".", location.href).href.replace(/\/$/, "")
  return KINDS[$("kind").value].write({ ...body, documents: body.documents.slice(0, documents) }, base, Boolean($("key").value))
}

function showCode() {
  try {
    const count = compose().body.documents.length
    const text = code(20)
    const short = text.length > 20 * SHOWN
    $("code").textContent = short ? text.slice(0, 20 * SHOWN) + "…" : text
    $("left-out").textContent = [
      KINDS[$("kind").value].note ?? "",
      count > 20 || short ? `Shown in part; Copy takes all of it, ${plural(count, "document")}.` : "",
    ].join(" ").trim()
  } catch (error) {
    $("left-out").textContent = ""
    $("code").textContent = error.message
  }
}

async function copy() {
  const text = code()
  try {
    await navigator.clipboard.writeText(text)
    $("copied").textContent = "Copied."
  } catch { // no clipboard without TLS: all of it is marked, to be copied by hand
    $("code").textContent = text
    getSelection().selectAllChildren($("code"))
    $("code").focus()
    $("copied").textContent = "Marked; copy it with Ctrl+C."
  }
}

// Files.

async function add(list) {
  $("error").textContent = ""
  for (const file of list) {
    try {
      const text = await file.text()
      if (text.includes("\0")) throw new Error("it is no text")
      files.push({ name: file.name, text })
    } catch (error) {
      $("error").textContent += `${file.name} cannot be read: ${error.message}\n`
    }
  }
  showFiles()
}

function showFiles() {
  showCode()
  $("dropped").replaceChildren(...files.map((file, index) => {
    const item = make("li", "", file.name), remove = make("button", "", "Remove")
    remove.type = "button"
    remove.ariaLabel = `Remove ${file.name}`
    remove.addEventListener("click", () => { files.splice(index, 1); showFiles(); $("files").focus() })
    item.append(remove)
    return item
  }))
}


// What people do.

$("ask").addEventListener("submit", event => { event.preventDefault(); rank() })
$("ask").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit()
})
let soon
$("ask").addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(showCode, 300) })
$("key").addEventListener("change", introduce)
addEventListener("pagehide", () => { $("key").value = "" }) // nor is it kept for the way back

$("files").addEventListener("change", async () => { await add([...$("files").files]); $("files").value = "" })
for (const name of ["dragover", "drop"]) addEventListener(name, event => event.preventDefault()) // the tab stays
$("drop").addEventListener("dragover", () => $("drop").classList.add("over"))
$("drop").addEventListener("dragleave", () => $("drop").classList.remove("over"))
$("drop").addEventListener("drop", event => { $("drop").classList.remove("over"); add([...event.dataTransfer.files]) })

$("more").addEventListener("click", () => {
  const next = $("results").childElementCount
  more()
  const first = $("results").children[next]
  first.tabIndex = -1
  first.focus()
})
new IntersectionObserver(seen => { if (seen.some(each => each.isIntersecting) && !$("more").hidden) more() }, { rootMargin: "200px" }).observe($("more"))

$("kind").append(...Object.entries(KINDS).map(([name, kind]) => new Option(kind.title, name)))
$("kind").addEventListener("change", () => { $("copied").textContent = ""; showCode() })
$("copy").addEventListener("click", copy)

showCode()
introduce()
