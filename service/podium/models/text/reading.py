"""How much of a long text is tokenized: as much as can be read of it, and no more.

10 MB of text take seconds in the tokenizer and cannot be interrupted, while a model reads some hundred tokens
of them. How many characters these are is only known afterwards: 70,000 blanks may be no token at all. So a
text is tokenized as far as an estimate says, and again with more of it where fewer tokens came out than can
be read. What the model reads never depends on the estimate.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from podium.models.base import Model, Tokens
from podium.models.text.fitting import Limits

TEXT_CHARACTERS = 1024 * 1024
"""Characters of a text that are ever tokenized, 0.3 s of English and at worst 2 s; what is beyond is cut."""

INSTRUCTION_CHARACTERS = 64 * 1024
"""Characters of an instruction at most: it is tokenized anew with each query of a request."""

CHARACTERS_PER_TOKEN = 8
"""The first estimate; English has 4 to 5."""

LEAST_CHARACTERS = 4096
GROWTH = 4
"""By which the next estimate is larger: all of them together take a third more than the last one."""

MARGIN = 128
"""Tokens beyond those that can be read: the last ones of a clipped text may be others than in the whole text,
as far back as its last word goes."""

NEAR = 1024
"""Characters in which a blank is looked for, to clip a text between two words."""

_WORD_ENDS = re.compile(r"(?<=\S) ")
"""A blank after a word. Tokenizers end words there whatever follows; before a newline they may not."""

Encode = Callable[[Sequence[str], bool], Sequence[Tokens]]
"""Texts, and whether they are whole, not clipped → the tokens of each."""


def keep_readable(text: str, *, keep_end: bool = False) -> str:
    """Return what of a text may be tokenized, and one character more, by which it is seen to be cut."""
    if len(text) <= TEXT_CHARACTERS:
        return text
    return text[-TEXT_CHARACTERS - 1 :] if keep_end else text[: TEXT_CHARACTERS + 1]


def read_queries(
    model: Model, texts: Sequence[str], limits: Limits, *, instruction: str | None = None
) -> list[Tokens]:
    """Return the tokens of queries: as far as they can be read, or all of them where their number counts."""

    def encode(texts: Sequence[str], whole: bool) -> Sequence[Tokens]:
        return model.queries(texts, instruction=instruction, max_characters=TEXT_CHARACTERS)

    enough = limits.max_query_tokens
    most = enough or (TEXT_CHARACTERS if limits.longest_first else limits.max_length)
    return read(encode, texts, most, enough=enough, keep_end=limits.keeps_query_end)


def read_documents(
    model: Model, texts: Sequence[str], limits: Limits, queries: Sequence[Tokens]
) -> list[Tokens]:
    """Return the tokens of documents, as far as they can be read.

    Where the longer text is cut first, they are so many that it is seen which of both is longer.
    """
    keep_end = limits.keeps_end

    def encode(texts: Sequence[str], whole: bool) -> Sequence[Tokens]:
        return model.documents(
            texts,
            max_characters=TEXT_CHARACTERS,
            offsets=limits.spans,
            begins=whole or not keep_end,
            ends=whole or keep_end,
        )

    most, enough = limits.most_tokens or TEXT_CHARACTERS, limits.max_document_tokens
    if limits.longest_first:
        most = max([most, *(len(query.ids) for query in queries)])
    return read(encode, texts, most, enough=enough, keep_end=keep_end)


def read(
    encode: Encode, texts: Sequence[str], most: int, *, enough: int | None = None, keep_end: bool = False
) -> list[Tokens]:
    """Return the tokens of each text, in order, at least the first `most` of it that there are.

    With `keep_end` they are the last ones. `cut` is set where a text has more, unless the request wants only
    `enough` tokens of it.
    """
    found: list[Tokens | None] = [None] * len(texts)
    left = list(range(len(texts)))
    size = max(LEAST_CHARACTERS, most * CHARACTERS_PER_TOKEN)
    while left:
        size = min(size, TEXT_CHARACTERS)
        whole = [index for index in left if len(texts[index]) <= size]
        if whole:
            for index, tokens in zip(whole, encode([texts[index] for index in whole], True), strict=True):
                found[index] = tokens
        parts = [index for index in left if len(texts[index]) > size]
        clipped = [clip(texts[index], size, keep_end=keep_end) for index in parts]
        left = []
        for index, tokens in zip(parts, encode(clipped, False) if parts else (), strict=True):
            if size == TEXT_CHARACTERS or len(tokens.ids) >= most + MARGIN:
                found[index] = tokens._replace(cut=enough is None or len(tokens.ids) < enough)
            else:
                left.append(index)
        size *= GROWTH
    return [tokens for tokens in found if tokens is not None]


def clip(text: str, size: int, *, keep_end: bool = False) -> str:
    """Return the beginning of a longer text, at most `size` characters, or its end from where a word does."""
    if keep_end:
        start = len(text) - size
        near = _WORD_ENDS.search(text, start, start + NEAR)
        # A long run has other tokens than its own end: they are counted from where it begins.
        return text[near.start() if near else _last(text, 0, start) or 0 :]
    end = _last(text, size - NEAR, size)
    return text[: size if end is None else end]


def parts(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Yield a text in parts of `size` characters at most, each with where it begins.

    A part ends with a word: tokenizers read words apart, so that the tokens are those of the whole. Where
    none ends the part is longer.
    """
    start = 0
    while start < len(text):
        end: int | None = start + size
        if start + size < len(text):
            end = _last(text, start + 1, start + size + 1)
            if end is None:
                near = _WORD_ENDS.search(text, start + size)
                end = near.start() if near else None
        yield start, text[start:end]
        start = len(text) if end is None else end


def _last(text: str, start: int, stop: int) -> int | None:
    """Return where the last word ends whose blank lies between `start` and `stop`, None where none does."""
    start = max(1, start)
    while (blank := text.rfind(" ", start, stop)) > 0:
        end = start - 1 + len(text[start - 1 : blank].rstrip())
        if end < start:
            return None
        if text[end] == " ":
            return end
        stop = end
    return None
