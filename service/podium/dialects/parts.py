"""Wire parts that several APIs share, and their rules: what a query, a document, a flag, a `top_n` is."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from podium.errors import EmptyDocuments, InvalidRequest
from podium.ranking import Usage


class TextObject(msgspec.Struct, frozen=True):
    """A text in an object, as multimodal APIs write it."""

    text: str


Query = Annotated[str, Meta(description="what is looked for; not blank")]
Document = str | dict[str, Any]
Documents = Annotated[
    list[Document], Meta(description="what is ranked: at least one string, or object with a `text`")
]
TopN = Annotated[
    int | None,
    Meta(description="how many of the best to return; null and 0: all", extra_json_schema={"minimum": 0}),
]
Flag = bool | str | None
"""A boolean; some clients send the strings "true" and "false"."""
ReturnDocuments = Annotated[Flag, Meta(description="put each document's text into the answer")]
Model = Annotated[str | None, Meta(description="echoed; a server holds one model and ranks with it")]


def queries(query: str | TextObject, field: str = "query") -> Sequence[str]:
    """Return the one query of a request. Raises InvalidRequest where it is blank."""
    text = query if isinstance(query, str) else query.text
    if not text or text.isspace():
        raise InvalidRequest(f"`{field}` is blank; send the text to look for", field)
    return (text,)


def texts(documents: Sequence[Document], field: str = "documents") -> list[str]:
    """Return the text of each document, in order.

    Raises EmptyDocuments where there is none, InvalidRequest where an object has no text.
    """
    if not documents:
        raise EmptyDocuments(f"`{field}` is empty; send at least one document", field)
    return [
        document if isinstance(document, str) else _text(document, index, field)
        for index, document in enumerate(documents)
    ]


def _text(document: dict[str, Any], index: int, field: str) -> str:
    text = document.get("text")
    if not isinstance(text, str):
        raise InvalidRequest(
            f"`{field}[{index}]` has no string `text`; send a string, or an object that has one",
            field,
        )
    return text


def top_n(value: int | None, field: str = "top_n") -> int | None:
    """Return how many to keep, None for all. Raises InvalidRequest where `value` is negative."""
    if value is not None and value < 0:
        raise InvalidRequest(f"`{field}` must be 0 or more; leave it out to get all documents back", field)
    return value or None


def flag(value: Flag, field: str, default: bool = False) -> bool:
    """Return a boolean that may come as a string; null is the default. Raises InvalidRequest."""
    if isinstance(value, bool):
        return value
    if value is None:
        return default
    word = value.lower()
    if word not in ("true", "false"):
        raise InvalidRequest(f"`{field}` must be true or false, not {_shown(value)}", field)
    return word == "true"


def _shown(value: str) -> str:
    return f'"{value}"' if len(value) <= 40 else f'"{value[:40]}…"'


class TokenUsage(msgspec.Struct, frozen=True):
    """OpenAI's usage."""

    prompt_tokens: int
    total_tokens: int


def token_usage(usage: Usage) -> TokenUsage:
    """Return the tokens of all pairs, as the model read them."""
    return TokenUsage(usage.tokens, usage.tokens)
