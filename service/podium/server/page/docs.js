// The reference: search, and forms that send each API's example.

const root = location.pathname.replace(/\/docs\/*$/, "")
const key = document.getElementById("key"), search = document.getElementById("search")
const groups = [...document.querySelectorAll("[data-group]")].reverse() // those within others first

for (const link of document.querySelectorAll("[data-path]")) link.href = root + link.dataset.path
for (const code of document.querySelectorAll("[data-base]")) code.textContent = location.origin + root + code.dataset.base

const items = [...document.querySelectorAll("[data-find]")].map(element => [element, element.textContent.toLowerCase()])

function find() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
  for (const [element, text] of items) element.hidden = !words.every(word => text.includes(word))
  const count = list => [...list].filter(each => !each.hidden).length
  for (const group of groups) {
    group.hidden = count(group.querySelectorAll("[data-find]")) === 0
    if (group.localName === "details") group.open = words.length > 0
  }
  const apis = count(document.querySelectorAll(".api")), rows = count(document.querySelectorAll("tr[data-find]"))
  document.getElementById("found").textContent = words.length ? `${apis} APIs and ${rows} lines of the tables match.` : ""
}
search.addEventListener("input", find)

function show(hash) {
  const api = hash && document.getElementById(hash.slice(1))
  if (!api) return
  if (api.hidden) { search.value = ""; find() }
  if (api.localName === "details") api.open = true
  api.scrollIntoView()
}
addEventListener("hashchange", () => show(location.hash))
show(location.hash)
addEventListener("pagehide", () => { key.value = "" })

for (const form of document.forms) {
  const path = form.querySelector("select"), body = form.querySelector("textarea"), out = form.querySelector("output")
  form.addEventListener("submit", async event => {
    event.preventDefault()
    out.className = ""
    out.textContent = "…"
    const started = performance.now()
    const headers = { "content-type": "application/json" }
    if (key.value) headers.authorization = "Bearer " + key.value
    try {
      const answer = await fetch(root + path.value, { method: "POST", headers, body: body.value })
      let text = await answer.text()
      try { text = JSON.stringify(JSON.parse(text), null, 2) } catch { /* shown as it is */ }
      out.className = answer.ok ? "good" : "bad"
      out.textContent = `${answer.status}, ${Math.round(performance.now() - started)} ms\n${text}`
    } catch (error) {
      out.className = "bad"
      out.textContent = error
    }
  })
  form.querySelector(".curl").addEventListener("click", () => {
    const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'"
    const sent = key.value ? ` \\\n  -H "Authorization: Bearer $PODIUM_API_KEY"` : ""
    out.className = ""
    out.textContent = `curl ${quoted(location.origin + root + path.value)} \\\n  -H 'Content-Type: application/json'${sent} \\\n  -d ${quoted(body.value)}`
  })
}
