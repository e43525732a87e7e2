"""What of a request is text: queries, documents and the fields to rank by."""

from typing import Any

import msgspec
import pytest

from podium.dialects import content
from podium.errors import EmptyDocuments, InvalidRequest, MalformedBody, UnsupportedMedia


@pytest.mark.parametrize("query", ["", " ", "\n\t ", "\u2003"])
def test_a_blank_query_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^`q` is blank; send the text to look for$") as caught:
        content.queries(query, "q")
    assert caught.value.field == "q"


def test_a_query_keeps_its_spaces_and_may_stand_in_an_object() -> None:
    assert content.queries(" a ") == (" a ",)
    assert content.queries({"text": "a"}) == ("a",)


def test_documents_are_strings_or_objects_with_a_text_in_any_mix() -> None:
    assert content.texts(["a", {"text": "b", "id": 1}, "", {"text": ""}]) == ["a", "b", "", ""]


def test_no_documents_are_refused() -> None:
    with pytest.raises(EmptyDocuments, match=r"^`texts` is empty; send at least one document$"):
        content.texts([], "texts")


@pytest.mark.parametrize("document", [{}, {"text": None}, {"text": 7}, {"Text": "a"}, {"text": ["a"]}])
def test_an_object_without_text_is_refused_by_its_index(document: dict[str, Any]) -> None:
    message = r"^`documents\[1\]` has no string `text`; send a string, or an object that has one$"
    with pytest.raises(InvalidRequest, match=message):
        content.texts(["a", document])


def test_content_of_text_parts_is_their_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"text": "b"}]
    assert content.texts([{"content": parts}]) == ["a\nb"]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="nothing"),
        pytest.param("a", id="no list"),
        pytest.param([1], id="no object"),
    ],
)
def test_what_is_not_text_is_refused(parts: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^`documents\[0\]` has no string `text`"):
        content.texts([{"content": parts}])


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([{"type": "image_url", "image_url": {"url": "http://a"}}], id="image"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "image_url"}], id="text and image"),
    ],
)
def test_content_with_an_image_is_refused_as_such(parts: Any) -> None:
    with pytest.raises(
        UnsupportedMedia, match=r"^`documents\[0\]` holds `image_url`; this server ranks texts"
    ):
        content.texts([{"content": parts}])


def test_rank_fields_are_lines_of_key_and_value_in_the_order_asked_for() -> None:
    document = {"text": "a", "year": 1999, "title": "b", "tags": ["x", None], "other": "c", "null": None}
    assert content.texts([document], rank_fields=["title", "text", "year", "tags", "absent", "null"]) == [
        'title: b\ntext: a\nyear: 1999\ntags: ["x",null]'
    ]


def test_one_rank_field_is_its_value_alone_and_strings_stay_as_they_are() -> None:
    assert content.texts([{"title": "b", "text": "a"}, "c"], rank_fields=["title"]) == ["b", "c"]


def test_a_rank_field_that_is_asked_for_many_times_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(msgspec.json, "encode", lambda value: written.append(value) or b"[]")
    assert content.texts([{"tags": ["x"]}], rank_fields=["tags"] * 100) == ["tags: []"]
    assert written == [["x"]]


def test_a_rank_field_that_is_nested_too_deep_to_be_written_is_malformed() -> None:
    deep: Any = 1
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(MalformedBody, match=r"^the body is nested too deep; send objects of a few levels$"):
        content.texts([{"tags": deep}], rank_fields=["tags"])


def test_no_rank_fields_are_the_text() -> None:
    assert content.texts([{"title": "b", "text": "a"}], rank_fields=[]) == ["a"]


@pytest.mark.parametrize("document", [{"text": "a"}, {"title": None}])
@pytest.mark.parametrize("rank_fields", [["title"], ["title", "body"]])
def test_a_document_with_none_of_the_rank_fields_is_refused(
    document: dict[str, Any], rank_fields: list[str]
) -> None:
    message = r"^`documents\[0\]` has none of the `rank_fields`; send a string, or an object that has one$"
    with pytest.raises(InvalidRequest, match=message):
        content.texts([document], rank_fields=rank_fields)
