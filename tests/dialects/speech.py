"""How each API is spoken: a request for any documents, and where its answer has scores, indices and texts.

Written down from the vendors' documents, not made from the dialects, so that the tests see both sides.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Ask = Callable[[str, list[str]], dict[str, Any]]


class Speech(NamedTuple):
    """One API on one path."""

    dialect: str
    path: str
    ask: Ask
    items: Callable[[Any], list[dict[str, Any]]]
    """The answer's items, one a document."""
    index: str | None
    """Key of an item that names its document; None: items are in the order of the documents."""
    score: str
    keys: set[str]
    """Keys of an item: all that the vendor documents."""
    text: tuple[dict[str, Any], Callable[[dict[str, Any]], str]] | None = None
    """What asks for the texts, and how an item holds its own; None where the API returns none."""
    logits: bool = False
    most: int = 10_000
    """Documents of a request at most."""


def _documents(query: str, documents: list[str]) -> dict[str, Any]:
    return {"query": query, "documents": documents}


def _objects(query: str, documents: list[str]) -> dict[str, Any]:
    return {"query": query, "documents": [{"text": text} for text in documents]}


def _get(key: str) -> Callable[[Any], Any]:
    return lambda answer: answer[key]


_RESULT = ("index", "relevance_score", {"index", "relevance_score", "document"})
_AS_OBJECT = ({"return_documents": True}, lambda item: item["document"]["text"])
_AS_STRING = ({"return_documents": True}, lambda item: item["document"])


SPEECHES = [
    Speech("cohere", "/v2/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    Speech(
        "dashscope",
        "/api/v1/services/rerank/text-rerank/text-rerank",
        lambda query, documents: {"input": _documents(query, documents)},
        lambda answer: answer["output"]["results"],
        *_RESULT,
        ({"parameters": {"return_documents": True}}, lambda item: item["document"]["text"]),
    ),
    Speech(
        "deepinfra",
        "/v1/inference/org/model",
        lambda query, documents: {"queries": [query], "documents": documents},
        lambda answer: [{"score": score} for score in answer["scores"]],
        None,
        "score",
        {"score"},
    ),
    Speech("infinity", "/infinity/rerank", _documents, _get("results"), *_RESULT, _AS_STRING),
    Speech("jina", "/api/v1/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    Speech("jina", "/jina/v1/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    Speech(
        "llamacpp",
        "/v1/reranking",
        _documents,
        _get("results"),
        "index",
        "relevance_score",
        {"index", "relevance_score"},
    ),
    *(
        Speech(
            "mixedbread",
            path,
            lambda query, documents: {"query": query, "input": documents},
            _get("data"),
            "index",
            "score",
            {"index", "score", "input", "object"},
            ({"return_input": True}, lambda item: item["input"]),
        )
        for path in ("/v1/reranking", "/mixedbread/v1/reranking")
    ),
    Speech(
        "nim",
        "/v1/ranking",
        lambda query, documents: {
            "model": "m",
            "query": {"text": query},
            "passages": [{"text": text} for text in documents],
        },
        _get("rankings"),
        "index",
        "logit",
        {"index", "logit"},
        logits=True,
    ),
    Speech(
        "pair",
        "/rerank",
        lambda query, documents: {"query": query, "passage": documents[0]},
        lambda answer: [{"score": answer["score"]}],
        None,
        "score",
        {"score"},
        logits=True,
        most=1,
    ),
    Speech(
        "pairs",
        "/rerank/batch",
        lambda query, documents: {"pairs": [{"query": query, "passage": text} for text in documents]},
        lambda answer: [{"score": score} for score in answer["scores"]],
        None,
        "score",
        {"score"},
        logits=True,
    ),
    *(
        Speech(
            "pinecone",
            path,
            lambda query, documents: {**_objects(query, documents), "parameters": {"truncate": "END"}},
            _get("data"),
            "index",
            "score",
            {"index", "score", "document"},
            ({}, lambda item: item["document"]["text"]),
        )
        for path in ("/rerank", "/pinecone/rerank")
    ),
    Speech("rankings", "/rerank", _objects, _get("rankings"), "index", "score", {"index", "score"}),
    Speech("results", "/v1/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    Speech("results", "/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    Speech(
        "score",
        "/v1/score",
        lambda query, documents: {"text_1": query, "text_2": documents},
        _get("data"),
        None,
        "score",
        {"index", "object", "score"},
    ),
    Speech(
        "similarity",
        "/api/v1/rerank",
        lambda query, documents: {
            "query": query,
            "documents": [{"id": index, "text": text} for index, text in enumerate(documents)],
        },
        _get("data"),
        "id",
        "similarity",
        {"id", "similarity"},
        logits=True,
    ),
    *(
        Speech(
            "tei",
            path,
            lambda query, documents: {"query": query, "texts": documents},
            lambda answer: answer,
            "index",
            "score",
            {"index", "score", "text"},
            ({"return_text": True}, lambda item: item["text"]),
        )
        for path in ("/rerank", "/tei/rerank")
    ),
    Speech("vllm", "/vllm/v1/rerank", _documents, _get("results"), *_RESULT, _AS_OBJECT),
    *(
        Speech(
            "voyage",
            path,
            lambda query, documents: {**_documents(query, documents), "truncation": True},
            _get("data"),
            *_RESULT,
            _AS_STRING,
        )
        for path in ("/v1/rerank", "/voyage/v1/rerank")
    ),
    *(
        Speech(
            "weaviate",
            path,
            lambda query, documents: {**_documents(query, documents), "property": ""},
            _get("scores"),
            None,
            "score",
            {"document", "score"},
            ({}, lambda item: item["document"]),
        )
        for path in ("/rerank", "/weaviate/rerank")
    ),
]
