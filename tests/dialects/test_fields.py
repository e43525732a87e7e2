"""The fields that change a ranking: what each becomes in the RankRequest."""

import json
import re
from typing import Any

import msgspec
import pytest

from podium.dialects import table
from podium.dialects.base import Context, decode
from podium.errors import EmptyDocuments, InvalidRequest
from podium.ranking import Ranking, RankRequest, Usage

CONTEXT = Context(model="builtin", request_id="r", created=0)
S = {"query": "q", "documents": ["a", "b"]}
TEXTS = {"query": "q", "texts": ["a", "b"]}
PASSAGES = {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]}
SCORE = {"text_1": "q", "text_2": ["a", "b"]}


def parse(path: str, body: dict[str, Any]) -> RankRequest:
    raw = json.dumps(body).encode()
    dialect = table.recognise(path, {}, raw)
    return dialect.parse(decode(dialect.body, raw))


@pytest.mark.parametrize(
    ("path", "body", "name", "value"),
    [
        pytest.param("/v1/rerank", {"use_activation": True, **S}, "raw_scores", False, id="activation on"),
        pytest.param("/v1/ranking", PASSAGES, "raw_scores", True, id="nim"),
        pytest.param("/rerank", {"truncate": False, **TEXTS}, "truncate", False, id="tei truncate"),
        pytest.param("/rerank", {"truncate": None, **TEXTS}, "truncate", True, id="tei truncate null"),
        pytest.param("/v1/rerank", {"truncation": False, **S}, "truncate", False, id="voyage truncation"),
        pytest.param("/jina/rerank", {"truncation": False, **S}, "truncate", False, id="jina truncation"),
        pytest.param("/jina/rerank", {"truncate": False, **S}, "truncate", False, id="jina truncate"),
        pytest.param("/v1/rerank", {"truncate": False, **S}, "truncate", False, id="results truncate"),
        pytest.param("/v1/rerank", {"truncate": "NONE", **S}, "truncate", False, id="results NONE"),
        pytest.param("/v1/rerank", {"truncate": "END", **S}, "truncate", True, id="results END"),
        pytest.param(
            "/v1/rerank", {"truncation": False, "top_n": 1, **S}, "truncate", False, id="results truncation"
        ),
        pytest.param("/v1/ranking", {"truncate": "NONE", **PASSAGES}, "truncate", False, id="nim NONE"),
        pytest.param("/v1/ranking", {"truncate": "END", **PASSAGES}, "truncate", True, id="nim END"),
        pytest.param("/v1/ranking", PASSAGES, "truncate", True, id="nim says nothing"),
        pytest.param("/v1/ranking", {"truncate": False, **PASSAGES}, "truncate", False, id="nim false"),
        pytest.param("/rerank", {"truncate": "none", **TEXTS}, "truncate", False, id="tei none"),
        pytest.param("/pinecone/rerank", {"parameters": {}, **S}, "truncate", True, id="pinecone nothing"),
        pytest.param(
            "/pinecone/rerank",
            {"parameters": {"truncate": "NONE"}, **S},
            "truncate",
            False,
            id="pinecone",
        ),
        pytest.param(
            "/rerank", {"truncation_direction": "Left", **TEXTS}, "truncate_side", "left", id="tei Left"
        ),
        pytest.param(
            "/rerank", {"truncation_direction": "Right", **TEXTS}, "truncate_side", "right", id="tei Right"
        ),
        pytest.param("/v2/rerank", {"truncation_side": "left", **S}, "truncate_side", "left", id="/v2 side"),
        pytest.param("/v2/rerank", {"truncate_prompt_tokens": 7, **S}, "max_pair_tokens", 7, id="/v2 pair"),
        pytest.param("/rerank", {"truncation_side": "left", **S}, "truncate_side", "left", id="vllm side"),
        pytest.param("/v2/rerank", {"max_tokens_per_doc": 4096, **S}, "max_document_tokens", 4096, id="doc"),
        pytest.param("/rerank", {"max_tokens_per_doc": 0, **S}, "max_document_tokens", None, id="doc 0"),
        pytest.param("/jina/rerank", {"max_doc_length": 9, **S}, "max_document_tokens", 9, id="jina doc"),
        pytest.param("/rerank", {"max_tokens_per_query": 8, **S}, "max_query_tokens", 8, id="query"),
        pytest.param("/jina/rerank", {"max_query_length": 8, **S}, "max_query_tokens", 8, id="jina query"),
        pytest.param("/v1/rerank", {"max_doc_length": 9, **S}, "max_document_tokens", 9, id="shared doc"),
        pytest.param("/v1/rerank", {"max_query_length": 8, **S}, "max_query_tokens", 8, id="shared query"),
        pytest.param("/rerank", {"truncate_prompt_tokens": 7, **S}, "max_pair_tokens", 7, id="pair"),
        pytest.param("/score", {"truncate_prompt_tokens": -1, **SCORE}, "max_pair_tokens", None, id="-1"),
        pytest.param("/v1/rerank", {"max_chunks_per_doc": 4, **S}, "max_chunks", 4, id="chunks"),
        pytest.param("/v1/rerank", {"max_chunks_per_doc": 4, **S}, "overflow", "chunk", id="chunks chunk"),
        pytest.param("/v1/rerank", {"max_chunks_per_doc": 1, **S}, "overflow", "cut", id="one chunk"),
        pytest.param(
            "/v2/rerank", {"max_chunks_per_doc": 4, "overflow": "cut", **S}, "overflow", "cut", id="cut wins"
        ),
        pytest.param("/v2/rerank", {"overflow": "chunk", **S}, "overflow", "chunk", id="overflow"),
        pytest.param("/v2/rerank", {"priority": -3, **S}, "priority", -3, id="priority"),
        pytest.param("/v2/rerank", {"priority": None, **S}, "priority", 0, id="priority null"),
        pytest.param("/v2/rerank", {"priority": "-3", **S}, "priority", -3, id="priority in a string"),
        pytest.param(
            "/v2/rerank", {"max_tokens_per_doc": 5.0, **S}, "max_document_tokens", 5, id="5.0 tokens"
        ),
        pytest.param("/v2/rerank", {"max_tokens_per_doc": "5", **S}, "max_document_tokens", 5, id="5 tokens"),
        pytest.param("/v2/rerank", {"truncate_prompt_tokens": "-1", **S}, "max_pair_tokens", None, id="-1"),
        pytest.param("/v2/rerank", {"max_chunks_per_doc": 3.0, **S}, "max_chunks", 3, id="3.0 chunks"),
        pytest.param("/v2/rerank", {"relevant_spans": {"mode": "enabled"}, **S}, "spans", True, id="spans"),
        pytest.param("/v2/rerank", {"relevant_spans": {"mode": "disabled"}, **S}, "spans", False, id="no"),
        pytest.param("/v1/ranking", {"top_k": 1, **PASSAGES}, "top_n", 1, id="nim top_k"),
        pytest.param("/v1/rerank", {"top_n": 2, "top_k": 1, **S}, "top_n", 2, id="top_n before top_k"),
        pytest.param("/v1/rerank", {"top_n": 0, "top_k": 1, **S}, "top_n", None, id="top_n of 0, too"),
        pytest.param("/v1/rerank", {"top_n": None, "top_k": 1, **S}, "top_n", 1, id="but not null"),
        pytest.param("/v1/ranking", {"top_n": 0, "top_k": 1, **PASSAGES}, "top_n", None, id="nim 0"),
        pytest.param(
            "/v1/rerank",
            {"max_tokens_per_doc": 0, "max_doc_length": 9, **S},
            "max_document_tokens",
            None,
            id="doc 0 before the second name",
        ),
        *(
            pytest.param(
                path, {"instruction": "for a doctor", **body}, "instruction", "for a doctor", id=path
            )
            for path, body in (
                ("/v1/rerank", S),
                ("/v2/rerank", S),
                ("/vllm/rerank", S),
                ("/score", SCORE),
                ("/v1/reranking", {"query": "q", "input": ["a", "b"]}),
                ("/inference/m", {"queries": ["q"], "documents": ["a", "b"]}),
            )
        ),
        pytest.param("/v1/rerank", {"instruct": "i", **S}, "instruction", "i", id="instruct"),
        pytest.param("/rerank", {"prompt": "i", **S}, "instruction", "i", id="prompt"),
        pytest.param(
            "/rerank", {"prompt": "i", "instruction": "", **S}, "instruction", "", id="an empty one counts"
        ),
        pytest.param("/rerank", {"instruction": None, **S}, "instruction", None, id="instruction null"),
        pytest.param(
            "/reranks", {"input": S, "parameters": {"instruct": "i"}}, "instruction", "i", id="dashscope"
        ),
        pytest.param("/rerank", {"top_n": 10**400, **TEXTS}, "top_n", 10**400, id="400 digits"),
    ],
)
def test_a_field_becomes_what_it_means(path: str, body: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(parse(path, body), name) == value


OBJECTS = {"query": "q", "documents": [{"text": "a"}, {"text": "b"}]}
IN_0_1 = [
    pytest.param("/v1/rerank", S, id="results"),
    pytest.param("/v2/rerank", S, id="cohere"),
    pytest.param("/jina/rerank", S, id="jina"),
    pytest.param("/infinity/rerank", S, id="infinity"),
    pytest.param("/vllm/rerank", S, id="vllm"),
    pytest.param("/llamacpp/rerank", S, id="llamacpp"),
    pytest.param("/voyage/rerank", S, id="voyage"),
    pytest.param("/weaviate/rerank", S, id="weaviate"),
    pytest.param("/pinecone/rerank", S, id="pinecone"),
    pytest.param("/rerank", TEXTS, id="tei"),
    pytest.param("/rerank", OBJECTS, id="rankings"),
    pytest.param("/v1/reranking", {"query": "q", "input": ["a", "b"]}, id="mixedbread"),
    pytest.param("/inference/m", {"queries": ["q"], "documents": ["a", "b"]}, id="deepinfra"),
    pytest.param("/score", SCORE, id="score"),
]
"""A request in each API whose scores are in [0, 1]; DashScope keeps its fields elsewhere."""


@pytest.mark.parametrize(("path", "body"), IN_0_1)
@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        ({}, False),
        ({"raw_scores": True}, True),
        ({"raw_scores": "true"}, True),
        ({"use_activation": False}, True),
        ({"raw_scores": False, "use_activation": None}, False),
    ],
    ids=str,
)
def test_logits_are_had_in_every_api_under_either_name(
    path: str, body: dict[str, Any], fields: dict[str, Any], raw: bool
) -> None:
    assert parse(path, body | fields).raw_scores is raw


@pytest.mark.parametrize("fields", [{"raw_scores": True}, {"use_activation": "false"}], ids=str)
def test_dashscopes_parameters_hold_them(fields: dict[str, Any]) -> None:
    assert parse("/reranks", {"input": S, "parameters": fields}).raw_scores


@pytest.mark.parametrize(
    ("path", "body", "kept"),
    [
        ("/voyage/rerank", {"return_documents": True}, ["a", "b"]),
        ("/v1/rerank", {"return_documents": True, "top_k": 2, "documents": ["a", {"text": "b"}]}, ["a", "b"]),
        ("/weaviate/rerank", {}, ["a", "b"]),
    ],
)
def test_documents_of_both_kinds_come_back_as_strings_where_the_vendor_has_strings(
    path: str, body: dict[str, Any], kept: list[str]
) -> None:
    raw = json.dumps({"query": "q", "documents": [{"text": "a", "id": 1}, "b"], **body}).encode()
    dialect = table.recognise(path, {}, raw)
    answer = dialect.respond(decode(dialect.body, raw), Ranking([0.9, 0.1], [0, 1], Usage(7, 0)), CONTEXT)
    built = msgspec.to_builtins(answer)
    assert [item["document"] for item in built.get("data", built.get("scores"))] == kept


def test_a_truncate_that_is_no_word_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r'^`truncate` must be true, false, END or NONE, not "middle"$'):
        parse("/v1/rerank", {"truncate": "middle", **S})


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/score", {"text_1": " ", "text_2": ["a"]}, "`text_1` is blank"),
        ("/score", {"text_1": ["q", " "], "text_2": ["a", "b"]}, "`text_1[1]` is blank"),
        ("/score", {"text_1": "q", "text_2": {"x": 1}}, "`text_2` has no string `text`"),
        ("/score", {"text_1": {"x": 1}, "text_2": "a"}, "`text_1` has no string `text`"),
        ("/score", {"text_1": "q", "text_2": ["a", {"x": 1}]}, "`text_2[1]` has no string `text`"),
        ("/reranks", {"input": S, "parameters": {"raw_scores": "x"}}, "`parameters.raw_scores` must be"),
        (
            "/reranks",
            {"input": S, "parameters": {"raw_scores": True, "use_activation": "x"}},
            "`parameters.use_activation` must be",
        ),
        ("/v1/rerank", {"raw_scores": True, "use_activation": "x", **S}, "`use_activation` must be"),
        ("/api/v1/rerank", {"truncate": False, "truncation": "x", **S}, "`truncation` must be"),
        ("/api/v1/rerank", {"truncate": "x", "truncation": False, **S}, "`truncate` must be"),
        ("/v1/rerank", {"truncate": False, "truncation": "x", "top_n": 1, **S}, "`truncation` must be"),
    ],
)
def test_an_error_names_what_was_sent(path: str, body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}"):
        parse(path, body)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/score", {"text_1": [], "text_2": ["a"]}), ("/inference/m", {"queries": [], "documents": ["a"]})],
)
def test_no_queries_are_not_taken_for_no_documents(path: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r" has 0 texts for 1 documents; send one for all, ") as caught:
        parse(path, body)
    assert not isinstance(caught.value, EmptyDocuments)


def test_a_request_without_them_leaves_every_default() -> None:
    for path in ("/v1/rerank", "/v2/rerank", "/jina/rerank", "/infinity/rerank", "/vllm/rerank"):
        assert parse(path, S) == RankRequest(queries=("q",), documents=["a", "b"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/rerank", {"max_tokens_per_doc": -1}),
        ("/v1/rerank", {"max_tokens_per_query": -1}),
        ("/v1/rerank", {"truncate_prompt_tokens": -2}),
        ("/v1/rerank", {"max_chunks_per_doc": -1}),
        ("/jina/rerank", {"max_doc_length": -5}),
        ("/v1/rerank", {"max_doc_length": -5, "max_tokens_per_doc": 7}),
    ],
)
def test_a_negative_limit_is_refused_by_its_name(path: str, body: dict[str, Any]) -> None:
    name = next(iter(body))
    with pytest.raises(InvalidRequest, match=f"^`{name}` must be 0 or more; leave it out for the default$"):
        parse(path, body | S)


@pytest.mark.parametrize(("path", "body"), [("/v1/rerank", S), ("/v1/ranking", PASSAGES)])
def test_a_negative_top_k_is_refused_beside_a_top_n_too(path: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"^`top_k` must be 0 or more"):
        parse(path, {"top_n": 1, "top_k": -1, **body})
