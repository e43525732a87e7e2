"""Pairs in a prompt that cannot be cut: made and tokenized for each pair, slower and always right."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from podium.models.base import Encoding, Tokens
from podium.models.text.prompt import keep
from podium.models.text.rendering import Messages, Renderer
from podium.models.text.template import Ids, Item, Reader, Texts, ids, pieces

Whole = Callable[[Texts], Ids]
"""All texts of a pair → its tokens."""

_PRIVATE = range(0xE000, 0xF900)


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
        encoding = self._reader.read(text)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        return Tokens(np.array(encoding.ids, np.int32), False, offsets, context=Text(texts, offsets))

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Make and tokenize a pair, cut to the length: its document first, then its query."""
        asked: Text = query.context
        wanted, kept = len(query.ids), len(document.ids)
        while True:
            texts = {**asked.texts, "document": _document(document, kept)}
            if wanted < len(asked.offsets):
                end = not query.begins
                texts["query"] = keep(asked.texts["query"], asked.offsets, wanted, end=end)
            joined = self._whole(texts)
            excess = len(joined) - self.max_length
            if excess <= 0 or not (kept or wanted):
                break
            if kept:
                kept = max(0, kept - excess)
            else:
                wanted = max(0, wanted - excess)
        cut = kept < len(document.ids) or wanted < len(asked.offsets)
        needed = len(query.ids) + len(document.ids) + query.fixed + document.fixed
        return Encoding(joined, len(joined), query.cut or document.cut or cut, max(needed, len(joined)))


def _document(document: Tokens, kept: int) -> str:
    """Return what the first tokens of what is left of a document hold of it."""
    text: str = document.context.texts["document"]
    offsets = document.offsets
    assert offsets is not None
    if document.begins and document.ends and kept == len(document.ids):
        return text
    if not kept:
        return ""
    start = 0 if document.begins else offsets[0, 0]
    return text[start : len(text) if document.ends and kept == len(document.ids) else offsets[kept - 1, 1]]


def by_pieces(prompts: Mapping[bool, Sequence[Item]], reader: Reader) -> Whole:
    """Return how a prompt is tokenized whose pieces are known, without an instruction and with one."""
    return lambda texts: ids(prompts[bool(texts.get("instruction"))], reader, texts)


def by_rendering(renderer: Renderer, reader: Reader) -> Whole:
    """Return how a prompt is tokenized whose template changes texts, so that it is rendered for each pair.

    Wherever a control token may begin in a text, a character that it does not have is put in before it is
    rendered, and taken out of what is tokenized: a template that lowers or cuts texts completes none.
    """
    first = {token.strip()[:1] for token in reader.control.values()}
    begins = re.compile("|".join(sorted(map(re.escape, first - {""}))) or "(?!)", re.IGNORECASE)

    def whole(texts: Texts) -> Ids:
        every = "".join(texts.values())
        mark = next(chr(code) for code in _PRIVATE if chr(code) not in every)
        shown = {slot: begins.sub(lambda found: found[0] + mark, text) for slot, text in texts.items()}
        system = shown.get("instruction") or None
        (rendered,) = renderer.render([Messages(system, shown["query"], shown["document"])])
        return ids(pieces([rendered], reader, instructed=True, mark=mark), reader, {})

    return whole
