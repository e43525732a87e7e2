// The page that ranks. What a caller or the server says is only ever put in as text.

import { clip, decode, fromFile, fromJson, fromLines, whole } from "./documents.js"
import { KINDS, textOf } from "./requests.js"

const ROWS = 100 // at a time: ten thousand at once would stop the tab for seconds
const SHOWN = 600 // characters of a document
const PART = 20 // documents, and as often SHOWN characters, of code
const $ = id => document.getElementById(id)

let info = {} // what /info tells, empty where it may not be asked
let files = [] // {name, text, documents}, the documents as read from the text
let sent = null // {body, sources}, the request that `answered` answers
let answered = [] // its results, best first
let running = null
let again // the timer of the next look at a server that loads

function make(tag, className, text) {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

function keyHeader() {
  const key = $("key").value
  if (/[^\x20-\x7e\x80-\xff]/.test(key)) throw new Error("The API key holds a character that no header may have: type it anew, or copy it without what stands around it.")
  return key ? { authorization: "Bearer " + key } : {}
}
const milliseconds = value => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en")) + " ms"
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`

async function introduce() {
  try {
    const root = await (await fetch("./", { headers: { accept: "application/json" } })).json()
    $("version").textContent = root.version
    $("about").textContent = `Ranks documents for a query with ${root.model}` + (root.status === "ready" ? "." : `, which is ${root.status}.`)
    clearTimeout(again)
    if (root.status !== "ready") again = setTimeout(introduce, 2000)
    const answer = await fetch("info", { headers: keyHeader() })
    if (!answer.ok) return
    info = await answer.json()
    $("instructed").hidden = info.instruction_use === "none"
    $("instruction").placeholder = info.instruction ?? ""
    showCode()
  } catch { /* the first request will say what is wrong */ }
}

// Asking, and what is answered.

function compose() {
  const typed = $("documents").value
  const asJson = $("ask").elements.form.value === "json"
  const own = !asJson ? fromLines(typed, "line")
    : typed.trim() ? fromJson(typed, "What is typed", "document") : []
  const pairs = [...own, ...files.flatMap(file => file.documents)]
  const body = { model: info.served_model_name ?? "podium", query: whole($("query").value), documents: pairs.map(([each]) => each) }
  if ($("top").value) body.top_n = Number($("top").value)
  if (!$("instructed").hidden && $("instruction").value.trim()) body.instruction = whole($("instruction").value)
  if ($("overflow").value === "chunk") {
    body.overflow = "chunk"
    body.relevant_spans = { mode: "enabled", threshold: 0, max_spans: 1 }
  }
  body.return_details = true
  return { body, sources: pairs.map(([, source]) => source) }
}

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
    forget()
    $("status").textContent = ""
    $("error").textContent = error instanceof TypeError ? `The server did not answer: ${error.message}` : error.message
  }
}

// What stands there is no answer to what was asked now.
function forget() {
  answered = []
  $("results").replaceChildren()
  $("times").replaceChildren()
  $("more").hidden = true
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

function code(body) {
  const base = new URL(".", location.href).href.replace(/\/$/, "")
  return KINDS[$("kind").value].write(body, base, Boolean($("key").value))
}

function showCode() {
  try {
    const { body } = compose(), count = body.documents.length
    const text = code({ ...body, documents: clip(body.documents.slice(0, PART), PART * SHOWN) })
    const short = text.length > PART * SHOWN
    $("code").textContent = short ? text.slice(0, PART * SHOWN) + "…" : text
    $("left-out").textContent = [
      KINDS[$("kind").value].note ?? "",
      count > PART || short ? `Shown in part; Copy takes all of it, ${plural(count, "document")}.` : "",
    ].join(" ").trim()
  } catch (error) {
    $("left-out").textContent = ""
    $("code").textContent = error.message
  }
}

async function copy() {
  let text
  try {
    text = code(compose().body)
  } catch (error) {
    $("copied").textContent = error.message
    return
  }
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

// Files: each is read once; large ones would else stop the tab at every pause in typing.

async function add(list) {
  $("error").textContent = ""
  for (const each of list) {
    try {
      const file = { name: each.name, text: decode(await each.arrayBuffer()) }
      files.push({ ...file, documents: fromFile(file, $("by-line").checked) })
    } catch (error) {
      $("error").textContent += `${each.name} cannot be read: ${error.message}\n`
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
$("by-line").addEventListener("change", () => { for (const file of files) file.documents = fromFile(file, $("by-line").checked) })
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
