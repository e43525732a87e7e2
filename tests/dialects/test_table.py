"""Which dialect is spoken: by the path, else by keys and headers, the first rule that holds."""

import ast
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podium import dialects, errors
from podium.dialects import table

S = {"query": "q", "documents": ["a", "b"]}
"""A request whose documents are strings."""
O = {"query": "q", "documents": [{"text": "a"}, "b"]}  # noqa: E741 as in the table of the documentation
"""A request whose first document is an object."""
PINECONE = {"x-pinecone-api-version": "2025-10"}

ROWS = [
    # row 1
    pytest.param("tei", "/rerank", {"query": "q", "texts": ["a"]}, {}, id="1 texts"),
    pytest.param("tei", "/v1/rerank", {"texts": None, "passage": "p", "property": ""}, {}, id="1 before all"),
    # row 2
    pytest.param("pair", "/rerank", {"query": "q", "passage": "p"}, {}, id="2 passage"),
    pytest.param("pair", "/v1/rerank", {"passage": "p", "property": "", **S}, {}, id="2 before property"),
    # row 3
    pytest.param("weaviate", "/rerank", {"property": "", **S}, {}, id="3 property"),
    pytest.param("weaviate", "/rerank", {"property": "", **S}, PINECONE, id="3 before Pinecone"),
    # row 4
    pytest.param("pinecone", "/rerank", O, PINECONE, id="4 header"),
    pytest.param("pinecone", "/v1/rerank", {"parameters": {}, **O}, {}, id="4 object parameters"),
    pytest.param("pinecone", "/rerank", {"parameters": {}, "truncation": 1, **S}, {}, id="4 before Voyage"),
    pytest.param("results", "/rerank", {"parameters": "x", **S}, {}, id="4 parameters that are no object"),
    # row 5
    pytest.param("voyage", "/v1/rerank", {"truncation": True, "top_k": None, **S}, {}, id="5 truncation"),
    pytest.param("voyage", "/rerank", {"truncation": None, **O}, {}, id="5 truncation, objects"),
    pytest.param("voyage", "/v1/rerank", {"top_k": 3, **S}, {}, id="5 top_k and strings"),
    pytest.param("results", "/v1/rerank", {"top_k": 3, **O}, {}, id="5 top_k and objects"),
    pytest.param("results", "/v1/rerank", {"top_k": 3, "top_n": 3, **S}, {}, id="5 top_n beside top_k"),
    pytest.param("results", "/rerank", {"truncation": 1, "top_n": None, **S}, {}, id="5 top_n of null"),
    # row 6
    pytest.param("rankings", "/rerank", O, {}, id="6 objects alone"),
    pytest.param("rankings", "/rerank", {"top_k": 2, "model": "m", **O}, {}, id="6 top_k"),
    pytest.param("rankings", "/rerank", {"top_k": None, "model": "m", **O}, {}, id="6 top_k of null"),
    pytest.param("results", "/rerank", {"top_n": 2, **O}, {}, id="6 top_n"),
    pytest.param("results", "/rerank", {"model": "m", **O}, {}, id="6 model"),
    pytest.param("results", "/rerank", {"return_documents": True, **O}, {}, id="6 return_documents"),
    pytest.param("results", "/rerank", {"rank_fields": ["text"], **O}, {}, id="6 rank_fields"),
    pytest.param("results", "/v1/rerank", O, {}, id="6 not on /v1/rerank"),
    # row 7
    pytest.param("results", "/rerank", S, {}, id="7 strings"),
    pytest.param("results", "/v1/rerank", {}, {}, id="7 nothing"),
    pytest.param("results", "/rerank", {"query": "q", "documents": "a"}, {}, id="7 documents no list"),
    pytest.param("results", "/rerank", {"query": "q", "documents": []}, {}, id="7 no documents"),
    # the same rules under the paths of others
    pytest.param("voyage", "/openai/v1/rerank", {"truncation": True, **S}, {}, id="KubeAI, voyage"),
    pytest.param("results", "/api/rerank", S, {}, id="Dify's Ollama"),
    pytest.param("results", "/inference/v1/rerank", {"return_documents": True, **O}, {}, id="Fireworks"),
    # /api/v1/rerank
    pytest.param("similarity", "/api/v1/rerank", {"documents": [{"text": "a", "id": None}]}, {}, id="api id"),
    pytest.param("jina", "/api/v1/rerank", {"documents": [{"text": "a"}, {"id": 1}]}, {}, id="api id later"),
    pytest.param("jina", "/api/v1/rerank", S, {}, id="api strings"),
    pytest.param("jina", "/api/v1/rerank", {}, {}, id="api nothing"),
    # /reranking, /reranks and llama.cpp
    pytest.param("tei", "/v1/reranking", {"texts": ["a"], "input": ["a"]}, {}, id="llama texts"),
    pytest.param("mixedbread", "/reranking", {"query": "q", "input": ["a"]}, {}, id="mixedbread input"),
    pytest.param("llamacpp", "/v1/reranking", S, {}, id="llama documents"),
    pytest.param("tei", "/llamacpp/rerank", {"query": "q", "texts": ["a"]}, {}, id="llama prefix texts"),
    pytest.param("llamacpp", "/llamacpp/v1/rerank", O, {}, id="llama prefix documents"),
    pytest.param("dashscope", "/reranks", {"input": {"query": "q"}}, {}, id="reranks input"),
    pytest.param("results", "/dashscope/compatible-api/v1/reranks", S, {}, id="reranks documents"),
]


@pytest.mark.parametrize(("name", "path", "body", "headers"), ROWS)
def test_the_first_rule_that_holds_decides(name: str, path: str, body: Any, headers: dict[str, str]) -> None:
    raw = json.dumps(body, indent=2).encode()
    assert table.recognise(path, headers, raw).name == name


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"texts":', b'{"a":' + b"[" * 10_000], ids=lambda body: body[:9]
)
def test_a_shared_path_cannot_tell_what_is_not_json(body: bytes) -> None:
    with pytest.raises(errors.MalformedBody):
        table.recognise("/rerank", {}, body)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"texts"', b"7"])
def test_a_shared_path_wants_an_object(body: bytes) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"^the body must be of type object, not "):
        table.recognise("/v1/rerank", {}, body)


def test_a_path_of_one_dialect_is_told_without_its_body() -> None:
    assert table.recognise("/v2/rerank", {}, b"not read").name == "cohere"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "tei"),
        ("/invocations", "tei"),
        ("/v1/ranking", "nim"),
        ("/v1/retrieval/nvidia/reranking", "nim"),
        ("/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking", "nim"),
        ("/nim/retrieval/nvidia/reranking", "nim"),
        ("/inference/Qwen/Qwen3-Reranker-8B", "deepinfra"),
        ("/deepinfra/v1/inference/m", "deepinfra"),
        ("/cohere/v1/rerank", "cohere"),
        ("/cohere/v2/rerank", "cohere"),
        ("/cohere/v1/v2/rerank", "cohere"),
        ("/cohere/rerank", "cohere"),
        ("/jina/v1/rerank", "jina"),
        ("/voyage/v1/rerank", "voyage"),
        ("/voyage/rerank", "voyage"),
        ("/infinity/rerank", "infinity"),
        ("/pinecone/rerank", "pinecone"),
        ("/weaviate/rerank", "weaviate"),
        ("/mixedbread/reranking", "mixedbread"),
        ("/tei", "tei"),
        ("/tei/rerank", "tei"),
        ("/vllm/v2/rerank", "vllm"),
        ("/vllm/score", "score"),
        ("/dashscope/api/services/rerank/text-rerank/text-rerank", "dashscope"),
    ],
)
def test_a_vendors_path_and_prefix_tell_its_dialect(path: str, name: str) -> None:
    assert table.recognise(path, {}, b"not read").name == name
    assert (dialect := table.dialect_of(path)) is not None
    assert dialect.name == name


@pytest.mark.parametrize("path", ["/v1/retrieval/reranking", "/v1/retrieval/a/b/c/reranking", "/inference/"])
def test_a_template_stands_for_as_many_segments_as_it_says(path: str) -> None:
    assert table.spoken_on(path) == []


def test_a_literal_path_goes_before_a_template() -> None:
    assert table.dialect_of("/inference/v1/rerank") is None


def test_a_path_that_is_not_served_is_not_found() -> None:
    with pytest.raises(errors.NotFound, match="no API on /v3/rerank; GET /docs lists all"):
        table.recognise("/v3/rerank", {}, b"{}")


def test_the_path_alone_tells_the_dialect_only_where_one_is_spoken() -> None:
    assert (cohere := table.dialect_of("/v2/rerank")) is not None
    assert cohere.name == "cohere"
    assert table.dialect_of("/rerank") is None
    assert table.dialect_of("/nope") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/voyage/v2/rerank", "voyage"),
        ("/tei/info", "tei"),
        ("/weaviate/meta", "weaviate"),
        ("/vllm/nope", "vllm"),
        ("/dashscope/nope", "dashscope"),
        ("/llamacpp/nope", "llamacpp"),
    ],
)
def test_a_prefix_tells_the_dialect_of_paths_that_rank_nothing(path: str, name: str) -> None:
    assert (dialect := table.dialect_of(path)) is not None
    assert dialect.name == name
    with pytest.raises(errors.NotFound):
        table.recognise(path, {}, b"{}")


def test_a_shared_path_below_a_prefix_is_not_told_by_it() -> None:
    assert table.dialect_of("/llamacpp/rerank") is None


def test_what_is_asked_of_the_service_is_asked_below_the_prefixes_whose_vendors_have_it() -> None:
    assert table.asked("/meta") == ["/meta", "/weaviate/meta"]
    assert table.asked("/health", "/livez") == [
        "/health",
        "/livez",
        "/infinity/health",
        "/llamacpp/health",
        "/tei/health",
        "/vllm/health",
    ]
    assert {"/nim/v1/models", "/nim/models"} < set(table.asked("/v1/models"))


def test_what_is_spoken_on_a_path_is_listed_in_the_order_of_the_rules() -> None:
    names = [dialect.name for dialect in table.spoken_on("/rerank")]
    assert names == ["tei", "pair", "weaviate", "pinecone", "voyage", "rankings", "results"]
    assert [dialect.name for dialect in table.spoken_on("/v1/rerank")] == [
        n for n in names if n != "rankings"
    ]
    assert table.spoken_on("/nope") == []


def test_the_last_rule_of_a_path_always_holds() -> None:
    for path in table.ROUTES:
        table.recognise(path, {}, b"{}")


def test_names_of_dialects_are_unique() -> None:
    spoken = {rule.dialect for rules in table.ROUTES.values() for rule in rules}
    assert len({dialect.name for dialect in spoken}) == len(spoken)


def test_every_dialect_has_a_json_schema_under_a_name_of_its_own() -> None:
    spoken = {rule.dialect for rules in table.ROUTES.values() for rule in rules}
    types = {type_ for dialect in spoken for type_ in (dialect.body, dialect.answer, dialect.failure)}
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    assert {dialect.body.__name__ for dialect in spoken} <= components.keys()
    assert not any("." in name for name in components), "two types share a name"


def test_no_dialect_knows_another() -> None:
    shared = {"base", "parts", "content", "answers", "scanning"}
    for file in Path(dialects.__file__).parent.glob("*.py"):
        if file.stem in ("table", "recognition", "conformance"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "podium.dialects":
                assert {alias.name for alias in node.names} <= shared, file
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("podium.dialects."):
                assert (node.module or "").rpartition(".")[2] in shared, file
