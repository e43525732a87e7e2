"""Pairs in a prompt that cannot be cut: made and tokenized for each pair, slower and always right."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from podium.errors import InvalidRequest
from podium.models.base import Encoding, Tokens
from podium.models.text.prompt import keep
from podium.models.text.rendering import Messages, Renderer
from podium.models.text.template import Ids, Item, Reader, Texts, ids, pieces

Whole = Callable[[Texts], Ids]
"""All texts of a pair → its tokens."""

_PRIVATE = [*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE)]
"""Characters that no standard gives a meaning."""


class Text(NamedTuple):
    """A text and what its tokens alone hold of it: `Tokens.context` of either."""

    texts: Texts
    offsets: Ids

    def joined(self, later: Sequence["Text"]) -> "Text":
        """Return a document of several parts."""
        text = "".join(part.texts["document"] for part in (self, *later))
        return Text({"document": text}, self.offsets)


class WholePrompt:
    """A prompt that is made and tokenized for each pair; nothing of it is shared.

    `renders`: it is made by its template, in that one's own process.
    """

    def __init__(self, reader: Reader, whole: Whole, max_length: int, *, renders: bool = False) -> None:
        self.max_length, self.renders = max_length, renders
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


def by_rendering(renderer: Renderer, reader: Reader) -> Whole:
    """Return how a prompt is tokenized whose template changes texts, so that it is rendered for each pair.

    Wherever a control token may begin in a text, a character that it does not have is put in before it is
    rendered, and taken out of what is tokenized: a template that lowers or cuts texts completes none. As it
    counts where a template cuts, the text is rendered without it too, which is taken where no text holds a
    control token, it has no other ones, and the template does not fail. Raises InvalidRequest where there is
    no such character.
    """
    control = {token.strip() for token in reader.control.values()} - {""}
    begins = _any_of({token[0] for token in control})
    holds = _any_of(control)

    def whole(texts: Texts) -> Ids:
        held = set().union(*texts.values())
        mark = next((chr(code) for code in _PRIVATE if chr(code) not in held), None)
        if mark is None:
            raise InvalidRequest(
                "query, document and instruction have every character for private use (U+E000 to U+F8FF and "
                "planes 15 and 16), and this model's chat template needs one of them; leave one out"
            )
        shown = {slot: begins.sub(lambda found: found[0] + mark, text) for slot, text in texts.items()}
        rendered = render(shown)
        # a template may ask for a control token in a text and leave out its own: as many stand elsewhere
        if shown != texts and not any(holds.search(text) for text in texts.values()):
            with suppress(ValueError):
                plain = render(texts)
                rendered = plain if steered(plain) == steered(rendered) else rendered
        return ids(pieces([rendered], reader, instructed=True, mark=mark), reader, {})

    def render(texts: Texts) -> str:
        messages = Messages(texts.get("instruction") or None, texts["query"], texts["document"])
        return renderer.render([messages])[0]  # each by itself: an answer has its limit

    def steered(text: str) -> list[int]:
        return [part for part in reader.split(text) if isinstance(part, int)]

    return whole


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return what finds any of the texts in either case; nothing where there are none."""
    return re.compile("|".join(sorted(map(re.escape, texts))) or "(?!)", re.IGNORECASE)
