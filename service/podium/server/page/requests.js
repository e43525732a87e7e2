// One request in the words of several programs, each of which prints an index and a score a line, best first.

const isText = part => (part?.type === undefined || part.type === "text") && typeof part?.text === "string"

// What the server reads of a document: marks are told in its characters.
export function textOf(each) {
  if (typeof each === "string") return each
  if (typeof each?.text === "string") return each.text
  const parts = each?.content
  if (Array.isArray(parts) && parts.length && parts.every(isText)) return parts.map(part => part.text).join("\n")
  return JSON.stringify(each)
}

const shell = text => "'" + text.replaceAll("'", "'\\''") + "'"

// JSON's strings are Python's, too.
function python(value, indent = "") {
  if (value === null) return "None"
  if (typeof value === "boolean") return value ? "True" : "False"
  if (typeof value !== "object") return JSON.stringify(value)
  const deeper = indent + "    "
  const items = Array.isArray(value)
    ? value.map(each => python(each, deeper))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, deeper)}`)
  const [open, close] = Array.isArray(value) ? "[]" : "{}"
  return items.length ? `${open}\n${items.map(item => deeper + item + ",\n").join("")}${indent}${close}` : open + close
}

const KEY = `os.environ["PODIUM_API_KEY"]`
const ofKey = keyed => keyed ? KEY : `"none"`
const head = (keyed, ...lines) => [...(keyed ? ["import os", ""] : []), ...lines, ""].join("\n")
const texts = request => python(request.documents.map(textOf))
const loop = (list, index, score) => `\nfor result in ${list}:\n    print(${index}, ${score})\n`
const results = list => loop(list, "result.index", "result.relevance_score")

const ONLY_THIS = "It sends the query and the documents as texts, and how many of the best to return."

function post(library, url, body, keyed, end) {
  const headers = keyed ? `\n    headers={"Authorization": f"Bearer {os.environ['PODIUM_API_KEY']}"},` : ""
  return head(keyed, `import ${library}`) + `
answer = ${library}.post(
    ${python(url)},${headers}
    json=${python(body, "    ")},
    timeout=300,
)
answer.raise_for_status()
${end}`
}

const limited = (request, name) => request.top_n ? { [name]: request.top_n } : {}
const argument = (request, name) => request.top_n ? `, ${name}=${request.top_n}` : ""

export const KINDS = {
  curl: {
    title: "curl",
    write: (request, base, keyed) =>
      `curl -s ${shell(base + "/v2/rerank")} \\\n  -H 'Content-Type: application/json' \\\n`
      + (keyed ? `  -H "Authorization: Bearer $PODIUM_API_KEY" \\\n` : "")
      + `  --data-binary @- <<'JSON'\n${JSON.stringify(request, null, 2)}\nJSON\n`,
  },
  httpx: {
    title: "Python (httpx)",
    write: (request, base, keyed) => post("httpx", base + "/v2/rerank", request, keyed,
      loop(`answer.json()["results"]`, `result["index"]`, `result["relevance_score"]`).trimStart()),
  },
  cohere: {
    title: "Cohere's client",
    note: ONLY_THIS,
    write: (request, base, keyed) => head(keyed, "import cohere") + `
client = cohere.ClientV2(api_key=${ofKey(keyed)}, base_url=${python(base)})
documents = ${texts(request)}
answer = client.rerank(model=${python(request.model)}, query=${python(request.query)}, documents=documents${argument(request, "top_n")})`
      + results("answer.results"),
  },
  jina: {
    title: "Jina's API (requests)",
    note: ONLY_THIS,
    write: ({ model, query, documents, ...rest }, base, keyed) => post("requests", base + "/jina/v1/rerank",
      { model, query, documents: documents.map(textOf), ...limited(rest, "top_n") }, keyed,
      loop(`answer.json()["results"]`, `result["index"]`, `result["relevance_score"]`).trimStart()),
  },
  tei: {
    title: "text-embeddings-inference (requests)",
    note: "It sends the query and the documents as texts; its API returns all of them.",
    write: ({ query, documents }, base, keyed) => post("requests", base + "/tei/rerank",
      { query, texts: documents.map(textOf) }, keyed,
      loop("answer.json()", `result["index"]`, `result["score"]`).trimStart()),
  },
  voyage: {
    title: "Voyage's client",
    note: ONLY_THIS,
    write: (request, base, keyed) => head(keyed, "import voyageai") + `
client = voyageai.Client(api_key=${ofKey(keyed)}, base_url=${python(base + "/v1")})
documents = ${texts(request)}
answer = client.rerank(${python(request.query)}, documents, model=${python(request.model)}${argument(request, "top_k")}, truncation=True)`
      + results("answer.results"),
  },
  langchain: {
    title: "LangChain (langchain-cohere)",
    note: ONLY_THIS,
    write: (request, base, keyed) => head(keyed, "from langchain_cohere import CohereRerank") + `
documents = ${texts(request)}
ranker = CohereRerank(
    model=${python(request.model)}, cohere_api_key=${ofKey(keyed)}, base_url=${python(base)}, top_n=${request.top_n ?? "len(documents)"}
)
ranked = ranker.rerank(documents, ${python(request.query)})`
      + loop("ranked", `result["index"]`, `result["relevance_score"]`),
  },
  llama_index: {
    title: "LlamaIndex (llama-index-postprocessor-cohere-rerank)",
    note: ONLY_THIS,
    write: (request, base, keyed) => head(keyed,
      "from llama_index.core.schema import NodeWithScore, TextNode",
      "from llama_index.postprocessor.cohere_rerank import CohereRerank") + `
documents = ${texts(request)}
nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index)), score=0) for index, text in enumerate(documents)]
ranker = CohereRerank(
    model=${python(request.model)}, api_key=${ofKey(keyed)}, base_url=${python(base)}, top_n=${request.top_n ?? "len(documents)"}
)
ranked = ranker.postprocess_nodes(nodes, query_str=${python(request.query)})`
      + loop("ranked", "result.node.node_id", "result.score"),
  },
  litellm: {
    title: "LiteLLM",
    note: ONLY_THIS,
    write: (request, base, keyed) => head(keyed, "import litellm") + `
documents = ${texts(request)}
answer = litellm.rerank(
    model=${python("cohere/" + request.model)},
    query=${python(request.query)},
    documents=documents,
    api_base=${python(base)},
    api_key=${ofKey(keyed)},${request.top_n ? `\n    top_n=${request.top_n},` : ""}
)`
      + loop("answer.results", `result["index"]`, `result["relevance_score"]`),
  },
}
