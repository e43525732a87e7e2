"""Pairs in a prompt that cannot be cut: made and tokenized for each pair, slower and always right."""

import re
import secrets
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from podium.errors import InvalidRequest
from podium.models.base import Encoding, Tokens
from podium.models.recipe import Chat
from podium.models.text.prompt import keep
from podium.models.text.rendering import Messages, Renderer
from podium.models.text.template import Ids, Item, Reader, Split, Texts, ids, pieces

Whole = Callable[[Texts], Ids]
"""All texts of a pair → its tokens."""

_PRIVATE = "".join(map(chr, (*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE))))
"""Characters that no standard gives a meaning, and no filter changes."""

LEAST_NAME = 8
"""Characters of a control token's name at least: nobody guesses it."""


class Text(NamedTuple):
    """A text and what its tokens alone hold of it: `Tokens.context` of either."""

    texts: Texts
    offsets: Ids

    def joined(self, later: Sequence["Text"]) -> "Text":
        """Return a document of several parts."""
        text = "".join(part.texts["document"] for part in (self, *later))
        return Text({"document": text}, self.offsets)


class WholePrompt:
    """A prompt that is made and tokenized for each pair; nothing of it is shared."""

    def __init__(self, reader: Reader, whole: Whole, max_length: int) -> None:
        self.max_length = max_length
        self._reader, self._whole = reader, whole

    def fixed(self, texts: Texts) -> int:
        """Return how many tokens a pair has beside its texts: those of an empty one."""
        return len(self._whole({**texts, "query": "", "document": ""}))

    def query(self, texts: Texts) -> Tokens:
        """Return the tokens of a query with its instruction."""
        tokens = self._read(texts["query"], texts)
        return tokens._replace(fixed=len(self._whole({**texts, "document": ""})) - len(tokens.ids))

    def documents(self, texts: Sequence[str], *, offsets: bool, begins: bool, ends: bool) -> list[Tokens]:
        """Return the tokens of documents; where they are in them is told always."""
        return [self._read(text, {"document": text})._replace(begins=begins, ends=ends) for text in texts]

    def _read(self, text: str, texts: Texts) -> Tokens:
        encoding = self._reader.read(text, first=True)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        return Tokens(np.array(encoding.ids, np.int32), False, offsets, context=Text(texts, offsets))

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Make and tokenize a pair, cut to the length: its document first, then its query."""
        asked: Text = query.context

        def made(of_query: int, of_document: int) -> Ids:
            texts = {**asked.texts, "document": _first(document, of_document)}
            if of_query < len(asked.offsets):
                texts["query"] = keep(texts["query"], asked.offsets, of_query, end=not query.begins)
            return self._whole(texts)

        kept_query, kept = len(query.ids), len(document.ids)
        kept = _most(kept, lambda count: self._fits(made(kept_query, count)))
        if not kept:
            kept_query = _most(kept_query, lambda count: self._fits(made(count, 0)))
        ids = made(kept_query, kept)
        cut = query.cut or document.cut or kept < len(document.ids) or kept_query < len(asked.offsets)
        needed = len(query.ids) + len(document.ids) + query.fixed + document.fixed
        return Encoding(ids, len(ids), cut, max(needed, len(ids)) if cut else len(ids))

    def _fits(self, ids: Ids) -> bool:
        return len(ids) <= self.max_length


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """Return how many tokens of so many may be kept, 0 where nothing fits."""
    return count if fits(count) else max(0, bisect_left(range(1, count), True, key=lambda n: not fits(n)))


def _first(document: Tokens, kept: int) -> str:
    """Return what the first tokens of what is left of a document hold of it."""
    text: str = document.context.texts["document"]
    offsets = document.offsets
    assert offsets is not None
    if not kept:
        return "" if len(offsets) or not document.ends else text
    start = 0 if document.begins else offsets[0, 0]
    return text[start : len(text) if document.ends and kept == len(offsets) else offsets[kept - 1, 1]]


def by_pieces(prompts: Mapping[bool, Sequence[Item]], reader: Reader) -> Whole:
    """Return how a prompt is tokenized whose pieces are known, without an instruction and with one."""
    return lambda texts: ids(prompts[bool(texts.get("instruction"))], reader, texts)


class Named(NamedTuple):
    """A template that writes names, which nobody can guess, where it wrote control tokens."""

    chat: Chat
    special: Mapping[str, object]
    names: Mapping[str, int]
    """Control tokens by their names."""


def named(chat: Chat, special: Mapping[str, object], reader: Reader) -> Named:
    """Put names in the place of the control tokens in a template and in what it is given.

    A name is as long as its token where that is long enough, for templates that count.
    """
    numbers = {token: number for number, token in reader.control.items() if token.strip()}
    name_of = {
        token: "".join(secrets.choice(_PRIVATE) for _ in range(max(len(token), LEAST_NAME)))
        for token in numbers
    }
    tokens = _any_of(numbers)

    def put(value: object) -> object:
        return tokens.sub(lambda found: name_of[found[0]], value) if isinstance(value, str) else value

    return Named(
        msgspec.structs.replace(
            chat,
            source=str(put(chat.source)),
            arguments={key: put(value) for key, value in chat.arguments.items()},
        ),
        {role: put(token) for role, token in special.items()},
        {name_of[token]: number for token, number in numbers.items()},
    )


def by_rendering(
    renderer: Renderer, reader: Reader, names: Mapping[str, int], *, composed: bool = False
) -> Whole:
    """Return how a prompt is tokenized whose template changes texts, so that it is rendered for each pair.

    What the template renders as a control token's name becomes that token, and everything else is read as
    characters: no filter makes a control token of a text. `composed`: the template puts control tokens
    together from parts too (`'<|' + role + '|>'`). They count where a rendering has those that the same
    template has with texts of the same shape that say nothing. Where a text makes another one, a character
    that it does not have is put in wherever one may begin, and taken out of what is tokenized. Raises
    InvalidRequest for a pair of which the template makes one even so.
    """
    by_name = re.compile(f"({_any_of(names).pattern})")
    control = {token.strip() for token in reader.control.values()} - {""}
    begins = re.compile(_any_of({token[0] for token in control}).pattern, re.IGNORECASE)

    def whole(texts: Texts) -> Ids:
        rendered = render(texts)
        if not composed:
            return read(rendered, fixed)
        own = steered(render(_saying_nothing(texts)))
        if steered(rendered) == own:
            return read(rendered, found)
        held = set().union(*texts.values())
        if mark := next((each for each in _PRIVATE if each not in held), None):
            shown = {slot: begins.sub(lambda at: at[0] + mark, text) for slot, text in texts.items()}
            rendered = render(shown)
            if steered(rendered) == own:
                return read(rendered, lambda text: (_without(mark, part) for part in found(text)))
        extra = Counter(steered(rendered)) - Counter(own)
        made = f"the control token {reader.control[min(extra)]}" if extra else "other control tokens"
        raise InvalidRequest(
            f"this model's chat template makes {made} of what query, document or instruction hold; leave out "
            "what it makes them of"
        )

    def read(rendered: str, split: Split) -> Ids:
        return ids(pieces([rendered], reader, instructed=True, split=split), reader, {})

    def render(texts: Texts) -> str:
        messages = Messages(texts.get("instruction") or None, texts["query"], texts["document"])
        return renderer.render([messages])[0]  # each by itself: an answer has its limit

    def fixed(text: str) -> Iterator[int | str]:
        return (names.get(part, part) for part in by_name.split(text) if part)

    def found(text: str) -> Iterator[int | str]:
        for part in fixed(text):
            yield from (part,) if isinstance(part, int) else reader.split(part)

    def steered(text: str) -> list[int]:
        return [part for part in found(text) if isinstance(part, int)]

    return whole


def _saying_nothing(texts: Texts) -> Texts:
    return {slot: re.sub(r"\S", _PRIVATE[0], text) for slot, text in texts.items()}


def _without(mark: str, part: int | str) -> int | str:
    return part if isinstance(part, int) else part.replace(mark, "")


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return what finds any of the texts, the longest first; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or "(?!)")
