"""Reading a body, and the status and body of a failure."""

import json
from typing import Any, Literal

import msgspec
import pytest

from podium import errors
from podium.dialects.base import decode, status, superset


class Body(msgspec.Struct):
    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = None
    nested: dict[str, Any] | None = None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "the body is not JSON: Input data was truncated", id="empty"),
        pytest.param(b"query=q", "the body is not JSON: ", id="a form"),
        pytest.param(b'{"query": NaN}', "the body is not JSON: ", id="NaN"),
        pytest.param('{"query": "q"}'.encode("utf-16"), "the body is not JSON: ", id="UTF-16"),
        pytest.param(b'{"query": "\xff"}', "the body is not UTF-8; encode it as UTF-8", id="Latin-1"),
        pytest.param(b'{"documents": [{"\xff": 1}]}', "the body is not UTF-8", id="Latin-1 key"),
        pytest.param(b'{"x": ' + b"[" * 10_000, "the body is nested too deep", id="deep, unknown key"),
        pytest.param(b'{"nested": ' + b'{"a":' * 10_000, "the body is nested too deep", id="deep"),
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes, message: str) -> None:
    with pytest.raises(errors.MalformedBody) as caught:
        decode(Body, raw)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("raw", "message", "field"),
    [
        pytest.param(b"[]", "the body must be of type object, not array", None, id="array"),
        pytest.param(b'{"documents": []}', "`query` is missing; send it", "query", id="missing"),
        pytest.param(
            b'{"query": "q", "documents": ["a", 1]}',
            "`documents[1]` must be of type string or object, not integer",
            "documents",
            id="wrong type, nested",
        ),
        pytest.param(
            b'{"query": "q", "top_n": 1.0}',
            "`top_n` must be of type integer or null, not number",
            "top_n",
            id="float",
        ),
        pytest.param(
            b'{"query": "q", "top_n": "3"}',
            "`top_n` must be of type integer or null, not string",
            "top_n",
            id="string",
        ),
        pytest.param(
            b'{"query": "q", "top_n": true}',
            "`top_n` must be of type integer or null, not boolean",
            "top_n",
            id="true",
        ),
        pytest.param(
            b'{"query": "q", "top_n": 1e999}',
            "`top_n` is not accepted: number out of range",
            "top_n",
            id="out of range",
        ),
    ],
)
def test_a_wrong_type_is_told_by_its_field(raw: bytes, message: str, field: str | None) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        decode(Body, raw)
    assert (caught.value.message, caught.value.field) == (message, field)


class Word(msgspec.Struct):
    word: Literal["END"]


@pytest.mark.parametrize("word", ["xxx", "xxx - at `$.documents"])
def test_a_wrong_word_is_quoted_in_part_and_is_no_path(word: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        decode(Word, f'{{"word": "{word}{"x" * 100_000}"}}'.encode())
    assert caught.value.message.startswith(f"`word` is not accepted: invalid enum value '{word}")
    assert len(caught.value.message) < 200
    assert caught.value.field == "word"


def test_an_integer_of_400_digits_is_an_integer() -> None:
    assert decode(Body, b'{"query": "q", "documents": [], "top_n": ' + b"9" * 400 + b"}").top_n == int(
        "9" * 400
    )


def test_unknown_fields_are_ignored_and_the_last_of_two_equal_keys_counts() -> None:
    body = decode(Body, b'{"query": "p", "new": {"a": []}, "documents": [], "query": "q"}')
    assert body == Body("q", [])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(r"a\ud83d", "a\ufffd", id="high alone"),
        pytest.param(r"\ude00b", "\ufffdb", id="low alone"),
        pytest.param(r"\ud83d\ud83d\ude00", "\ufffd😀", id="high before a pair"),
        pytest.param(r"\ud83d\ude00\ude00", "😀\ufffd", id="low after a pair"),
        pytest.param(r"\uD83D\n", "\ufffd\n", id="capitals"),
        pytest.param(r"\ud83d \\ud83d", "\ufffd \\ud83d", id="beside the text \\ud83d"),
        pytest.param(r"C:\\\ud83d", "C:\\\ufffd", id="behind a backslash"),
        pytest.param(r"\\ud83d\ude00", r"\ud83d" "\ufffd", id="low after the text \\ud83d"),
        pytest.param(r"\ud83d\\ude00", "\ufffd" r"\ude00", id="high before the text \\ude00"),
        pytest.param(r"\n\"\\\u00e4\ud83d\ude00\t\\\ud83d", '\n"\\ä😀\t\\\ufffd', id="other escapes"),
        pytest.param(r"\u0000", "\0", id="NUL is a character"),
    ],
)
def test_half_a_character_is_read_as_the_replacement_character(written: str, read: str) -> None:
    assert decode(Body, f'{{"query": "{written}", "documents": []}}'.encode()).query == read


def test_half_a_character_mends_nothing_else() -> None:
    with pytest.raises(errors.MalformedBody):
        decode(Body, rb'{"query": "\ud83d"')


class NewError(errors.PairTooLong):
    pass


def test_the_status_is_that_of_the_nearest_ancestor() -> None:
    assert status(NewError(0, 2, 1)) == 400
    assert status(errors.EmptyDocuments("none")) == 400
    assert status(errors.OutOfMemory("full")) == 500
    assert status(ZeroDivisionError()) == 500


def test_a_dialect_changes_a_status_for_what_descends_too_unless_a_nearer_one_stands() -> None:
    own: dict[type[Exception], int] = {errors.InvalidRequest: 422, errors.RequestError: 418}
    assert status(errors.EmptyDocuments("none"), own) == 422
    assert status(errors.MalformedBody("x"), own) == 418
    assert status(errors.Unauthorized(), own) == 401


def test_the_superset_holds_the_sentence_where_each_client_looks_for_it() -> None:
    code, body = superset(errors.InvalidRequest("`query` is blank", "query"))
    assert code == 400
    assert json.loads(msgspec.json.encode(body)) == {
        "message": "`query` is blank",
        "detail": "`query` is blank",
        "error": {
            "message": "`query` is blank",
            "type": "invalid_request_error",
            "param": "query",
            "code": 400,
        },
    }


def test_an_unknown_exception_shows_no_internals() -> None:
    code, body = superset(RuntimeError("/home/me/secret.py"))
    assert code == 500
    assert body.message == "internal error; the log of the service has its cause under this request's id"
    assert body.error.type == "server_error"
