"""Wire parts that several APIs share, and their rules: what a query, a document, a flag, a `top_n` is."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from podium.dialects.base import too_deep
from podium.errors import EmptyDocuments, InvalidRequest, UnsupportedMedia
from podium.ranking import Usage

Query = Annotated[str, Meta(description="what is looked for; not blank")]
Document = Annotated[
    str | dict[str, Any],
    Meta(description="a text; or an object with a `text`, or with a `content` of text parts as vLLM has it"),
]
Documents = Annotated[
    list[Document], Meta(description="what is ranked: at least one, strings and objects in any mix")
]
Whole = (
    int
    | Annotated[float, Meta(extra_json_schema={"multipleOf": 1})]
    | Annotated[str, Meta(extra_json_schema={"pattern": "^-?[0-9]{1,15}$"})]
)
"""A whole number; some clients send 2.0 or "2"."""
TopN = Annotated[
    Whole | None,
    Meta(description="how many of the best to return; null and 0: all", extra_json_schema={"minimum": 0}),
]
Flag = bool | str | None
"""A boolean; some clients send the strings "true" and "false"."""
ReturnDocuments = Annotated[Flag, Meta(description="put each document's text into the answer")]
ReturnDetails = Annotated[
    Flag, Meta(description="put `tokens` of each pair, and whether it was cut (`truncated`), into the answer")
]
RankFields = Annotated[
    Annotated[list[str], Meta(max_length=100)] | None,
    Meta(description="keys of object documents to rank by, in this order; default: `text`"),
]
MaxDocumentTokens = Annotated[
    Whole | None, Meta(description="cut each document to so many tokens; null and 0: do not")
]
MaxQueryTokens = Annotated[
    Whole | None, Meta(description="cut the query to so many tokens; null and 0: do not")
]
MaxPairTokens = Annotated[
    Whole | None,
    Meta(description="fit query and document into so many tokens; null, 0 and -1: the model's limit"),
]
MaxChunks = Annotated[
    Whole | None, Meta(description="read a long document in windows, at most so many; the best one counts")
]
Overflow = Annotated[
    Literal["cut", "chunk"] | None,
    Meta(description="a long document is cut, or read in windows; default: chunk with `max_chunks_per_doc`"),
]
Side = Annotated[Literal["left", "right"] | None, Meta(description="the end at which documents are cut")]
Truncate = Annotated[
    Flag,
    Meta(description="false or NONE: refuse pairs that do not fit instead of cutting them; also true, END"),
]
RawScores = Annotated[Flag, Meta(description="logits instead of their sigmoid")]
UseActivation = Annotated[Flag, Meta(description="false: logits instead of their sigmoid")]
Instruction = Annotated[
    str | None,
    Meta(description="what makes a document relevant, for models that take one; default: PODIUM_INSTRUCTION"),
]
Priority = Annotated[Whole | None, Meta(description="lower is served earlier, where the server allows it")]
Model = Annotated[str | None, Meta(description="echoed; a server holds one model and ranks with it")]


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


_WHOLE = re.compile(r"\s*([+-]?\d{1,15})(?:\.0*)?\s*", re.ASCII)
_WHOLE_CHARACTERS = 64
"""Of a whole number in a string, blanks included: a longer string is not there any more when the answer is
written, see `let_go`."""


def whole(value: Whole | None, field: str) -> int | None:
    """Return a whole number, however it was written. Raises InvalidRequest for any other number or text."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        if len(value) <= _WHOLE_CHARACTERS and (found := _WHOLE.fullmatch(value)):
            return int(found[1])
    elif value.is_integer() and abs(value) < 1e15:
        return int(value)
    shown = _shown(value) if isinstance(value, str) else f"{value:g}"
    raise InvalidRequest(f"`{field}` must be a whole number, not {shown}", field)


def top_n(value: Whole | None, field: str = "top_n") -> int | None:
    """Return how many to keep, None for all. Raises InvalidRequest where `value` is negative."""
    count = whole(value, field)
    if count is not None and count < 0:
        raise InvalidRequest(f"`{field}` must be 0 or more; leave it out to get all documents back", field)
    return count or None


def first_of(check: Callable[[Whole | None, str], int | None], **named: Whole | None) -> int | None:
    """Return the first number that is not null of a field with several names; `check` sees them all."""
    checked = {name: check(value, name) for name, value in named.items()}
    return next((checked[name] for name, value in named.items() if value is not None), None)


def first_text(*texts: str | None) -> str | None:
    """Return the first text that is not null of a field with several names."""
    return next((text for text in texts if text is not None), None)


def limit(value: Whole | None, field: str) -> int | None:
    """Return a limit, None for none. Raises InvalidRequest where `value` is negative."""
    count = whole(value, field)
    if count is not None and count < 0:
        raise InvalidRequest(f"`{field}` must be 0 or more; leave it out for the default", field)
    return count or None


def pair_limit(value: Whole | None, field: str = "truncate_prompt_tokens") -> int | None:
    """Return a limit of pairs; -1 is vLLM's word for the model's own. Raises InvalidRequest."""
    count = whole(value, field)
    return None if count == -1 else limit(count, field)


def priority(value: Whole | None) -> int:
    """Return the priority, 0 for none. Raises InvalidRequest where `value` is no whole number."""
    return whole(value, "priority") or 0


def overflow(value: Literal["cut", "chunk"] | None, max_chunks: int | None) -> Literal["cut", "chunk"]:
    """Return what becomes of a long document: who bounds its chunks wants chunks."""
    return value or ("chunk" if max_chunks and max_chunks > 1 else "cut")


def flag(value: Flag, field: str, default: bool = False, words: str = "true or false") -> bool:
    """Return a boolean that may come as a string; null is the default.

    Raises InvalidRequest, which says that it must be one of `words`.
    """
    if isinstance(value, bool):
        return value
    if value is None:
        return default
    word = value.lower()
    if word not in ("true", "false"):
        raise InvalidRequest(f"`{field}` must be {words}, not {_shown(value)}", field)
    return word == "true"


def truncates(value: Flag, field: str) -> bool:
    """Return whether pairs that do not fit are cut: null and END mean yes, NONE no. Raises InvalidRequest."""
    word = value.upper() if isinstance(value, str) else ""
    if word in ("END", "NONE"):
        return word == "END"
    return flag(value, field, default=True, words="true, false, END or NONE")


def raw_scores(raw: Flag, use_activation: Flag, within: str = "") -> bool:
    """Return whether logits are asked for, by TEI's field or by vLLM's; `within` goes before their names.

    Raises InvalidRequest.
    """
    wanted = flag(raw, f"{within}raw_scores")
    return not flag(use_activation, f"{within}use_activation", default=True) or wanted


def _shown(value: str) -> str:
    return f'"{value}"' if len(value) <= 40 else f'"{value[:40]}…"'


class TokenUsage(msgspec.Struct, frozen=True):
    """OpenAI's usage; without `completion_tokens` Together's clients refuse the answer."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


def token_usage(usage: Usage) -> TokenUsage:
    """Return the tokens of all pairs, as the model read them."""
    return TokenUsage(usage.tokens, usage.tokens)
