"""Images and the like: refused where an API could carry them, for only texts are ranked."""

import json
import re
from typing import Any

import pytest

from podium.dialects import table
from podium.dialects.base import decode
from podium.errors import UnsupportedMedia
from podium.ranking import RankRequest

S = {"query": "q", "documents": ["a", "b"]}
PASSAGES = {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]}


def parse(path: str, body: dict[str, Any]) -> RankRequest:
    raw = json.dumps(body).encode()
    dialect = table.recognise(path, {}, raw)
    return dialect.parse(decode(dialect.body, raw))


IMAGE = "data:image/png;base64,AAAA"
PARTS = {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": IMAGE}}]}


@pytest.mark.parametrize(
    ("path", "body", "name", "kind"),
    [
        ("/v1/ranking", {**PASSAGES, "passages": [{"text": "a", "image": IMAGE}]}, "passages[0]", "image"),
        ("/v1/ranking", {**PASSAGES, "query": {"image": IMAGE}}, "query", "image"),
        ("/jina/rerank", {**S, "documents": ["a", {"image": IMAGE}]}, "documents[1]", "image"),
        ("/jina/rerank", {**S, "query": {"text": "q", "image": IMAGE}}, "query", "image"),
        ("/reranks", {"input": {**S, "documents": [{"video": "v"}]}}, "input.documents[0]", "video"),
        ("/v1/rerank", {**S, "documents": [{"image": IMAGE}]}, "documents[0]", "image"),
        ("/v1/rerank", {**S, "query": {"image": IMAGE}}, "query", "image"),
        ("/v2/rerank", {**S, "documents": [PARTS]}, "documents[0]", "image_url"),
        ("/vllm/rerank", {**S, "documents": [PARTS]}, "documents[0]", "image_url"),
        ("/score", {"data_1": "q", "data_2": PARTS}, "data_2", "image_url"),
        (
            "/score",
            {"data_1": "q", "data_2": {"content": [{"type": "input_audio"}]}},
            "data_2",
            "input_audio",
        ),
    ],
)
def test_an_image_is_refused_with_422_where_an_api_could_carry_one(
    path: str, body: dict[str, Any], name: str, kind: str
) -> None:
    message = f"^`{re.escape(name)}` holds `{kind}`; this server ranks texts only: "
    with pytest.raises(UnsupportedMedia, match=message) as caught:
        parse(path, body)
    dialect = table.recognise(path, {}, json.dumps(body).encode())
    assert dialect.fail(caught.value)[0] == 422


def test_a_key_named_image_beside_a_text_is_the_callers_own_where_documents_are_records() -> None:
    record = {"text": "a", "image": "https://shop.example/1.png", "type": "video"}
    for path in ("/v1/rerank", "/v2/rerank", "/pinecone/rerank"):
        assert parse(path, {**S, "documents": [record]}).documents == ["a"]
