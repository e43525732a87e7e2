"""What of a request is text: queries, documents as strings and objects, fields to rank by."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from podium.dialects.base import too_deep
from podium.errors import EmptyDocuments, InvalidRequest, UnsupportedMedia

Query = Annotated[str, Meta(description="what is looked for; not blank")]
Document = Annotated[
    str | dict[str, Any],
    Meta(description="a text; or an object with a `text`, or with a `content` of text parts as vLLM has it"),
]
Documents = Annotated[
    list[Document], Meta(description="what is ranked: at least one, strings and objects in any mix")
]


def queries(query: Document, field: str = "query") -> Sequence[str]:
    """Return the one query of a request. Raises InvalidRequest where it is blank or no text."""
    text = text_of(query, field)
    if not text or text.isspace():
        raise InvalidRequest(f"`{field}` is blank; send the text to look for", field)
    return (text,)


def check_queries(queries: Sequence[str], count: int, field: str, key: str = "") -> None:
    """Check one query for all of `count` documents, or one a document.

    Raises InvalidRequest where one is blank, or there are neither 1 nor `count`; `key` follows the index.
    """
    for index, text in enumerate(queries):
        if not text or text.isspace():
            raise InvalidRequest(f"`{field}[{index}]{key}` is blank; send the text to look for", field)
    if len(queries) not in (1, count):
        raise InvalidRequest(
            f"`{field}` has {len(queries)} texts for {count} documents; send one for all, or one a document",
            field,
        )


def texts(
    documents: Sequence[Document], field: str = "documents", rank_fields: Sequence[str] | None = None
) -> list[str]:
    """Return the text of each document, in order.

    Raises EmptyDocuments where there is none, InvalidRequest where an object has no text.
    """
    if not documents:
        raise EmptyDocuments(f"`{field}` is empty; send at least one document", field)
    return [
        document if isinstance(document, str) else text_of(document, field, index, rank_fields)
        for index, document in enumerate(documents)
    ]


def text_of(
    document: Document, field: str, index: int | None = None, rank_fields: Sequence[str] | None = None
) -> str:
    """Return the text of the document at `index` of `field`: its own, or that of its `rank_fields`.

    Raises InvalidRequest where it has none.
    """
    if isinstance(document, str):
        return document
    text = _fields(document, rank_fields) if rank_fields else _own_text(document)
    if text is None:
        _refuse_medium(document, field, index)
        name = _name(field, index)
        lacks = "has none of the `rank_fields`" if rank_fields else "has no string `text`"
        raise InvalidRequest(f"`{name}` {lacks}; send a string, or an object that has one", field)
    return text


def refuse_media(texts: Document | Sequence[Document], field: str) -> None:
    """Refuse objects with an image and the like beside their `text`, in APIs whose models read both.

    Elsewhere such a key is the caller's own, like any other beside the `text`. Raises UnsupportedMedia.
    """
    if isinstance(texts, str | dict):
        _refuse_medium(texts, field, None)
    else:
        for index, text in enumerate(texts):
            _refuse_medium(text, field, index)


def _refuse_medium(document: Document, field: str, index: int | None) -> None:
    if isinstance(document, str):
        return
    content = document.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    kinds = [*document, *(key for part in parts for key in (part.get("type"), *part))]
    found = next((kind for kind in kinds if isinstance(kind, str) and _MEDIUM.fullmatch(kind)), None)
    if found is not None:
        raise UnsupportedMedia(
            f"`{_name(field, index)}` holds `{found}`; this server ranks texts only: send a string, or an "
            "object with a `text`",
            field,
        )


_MEDIUM = re.compile(r"(input_)?(image|audio|video)(s|_url|_base64|_pil|_embeds)?")
"""Names of keys, and of types of content parts, under which the vendors carry what is no text."""


def _name(field: str, index: int | None) -> str:
    return field if index is None else f"{field}[{index}]"


def _own_text(document: dict[str, Any]) -> str | None:
    text = document.get("text")
    if isinstance(text, str):
        return text
    parts = document.get("content")
    if isinstance(parts, list) and parts and all(map(_is_text_part, parts)):
        return "\n".join(part["text"] for part in parts)
    return None


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str)


def _fields(document: dict[str, Any], rank_fields: Sequence[str]) -> str | None:
    """Write the fields to rank by as Cohere advises: lines of `key: value` in the order asked for.

    A single one is written bare. Values that are no strings are written in JSON. Fields that a document
    lacks, or that are null, are left out; None where it lacks all. One that is asked for twice is written
    once.

    Raises MalformedBody where a value can be read and is nested too deep to be written.
    """
    try:
        values = {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for key in dict.fromkeys(rank_fields)
            if (value := document.get(key)) is not None
        }
    except RecursionError:
        raise too_deep() from None
    if len(rank_fields) == 1:
        return next(iter(values.values()), None)
    return "\n".join(f"{key}: {value}" for key, value in values.items()) or None
