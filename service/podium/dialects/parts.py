"""Wire parts that several APIs share, and their rules: what a query, a document, a flag, a `top_n` is."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from podium.errors import InvalidRequest
from podium.ranking import Usage

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
