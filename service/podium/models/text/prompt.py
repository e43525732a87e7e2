"""Pairs in a prompt that is cut: tokenized once a query and once a document.

Everything that does not stand right beside the document is tokenized with the query, so a query brings its
prompt along.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from tokenizers import Encoding as Read

from podium.models.base import Encoding, Tokens
from podium.models.recipe import Hole
from podium.models.text.template import Cut, Ids, Item, Reader, Segment, Texts, filled


class Around(NamedTuple):
    """Tokens before and after a document, and those of them that hold some of the query."""

    head: Ids
    tail: Ids
    query: Ids
    offsets: Ids
    """(t, 2) where those are in the query, in code points."""


class Asked:
    """A query with its instruction, and the tokens around a document: `Tokens.context` of a query."""

    def __init__(self, prompt: "CutPrompt", texts: Texts) -> None:
        self._prompt, self._texts = prompt, texts
        self._kept: dict[tuple[int, bool], Asked] = {}

    @cached_property
    def around(self) -> Around:
        """The tokens around a document."""
        return self._prompt.around(self._texts)

    @cached_property
    def prefix(self) -> bytes:
        """The ids before a document as bytes."""
        return self.around.head.tobytes()

    def kept(self, tokens: int, *, end: bool) -> "Asked":
        """Return this query with so many of its tokens left, those of its end or of its beginning."""
        if tokens >= len(self.around.offsets):
            return self
        found = self._kept.get((tokens, end))
        if found is None:
            text = keep(self._texts["query"], self.around.offsets, tokens, end=end)
            found = self._kept[tokens, end] = Asked(self._prompt, {**self._texts, "query": text})
        return found


def keep(text: str, offsets: Ids, tokens: int, *, end: bool) -> str:
    """Return what so many tokens of a text hold of it, those of its end or of its beginning."""
    if tokens <= 0:
        return ""
    return text[offsets[-tokens, 0] :] if end else text[: offsets[tokens - 1, 1]]


class Beside(NamedTuple):
    """Tokens on both sides of a document that hold nothing of it: `Tokens.context` of a document."""

    before: Ids
    after: Ids

    def joined(self, later: Sequence["Beside"]) -> "Beside":
        """Return what is beside a document of several parts."""
        return Beside(self.before, later[-1].after if later else self.after)


class CutPrompt:
    """A prompt that is cut around its document, without an instruction and with one.

    `shared`: what stands before a document is the same for all of a query's documents, and is computed once.
    """

    def __init__(self, reader: Reader, cuts: Mapping[bool, Cut], max_length: int, *, shared: bool) -> None:
        self.max_length = max_length
        self._reader, self._cuts, self.shared = reader, cuts, shared
        one = cuts[True]
        self._left, self._right, self._strip = one.left, one.right, one.document.strip
        self._tokenizer = reader.at(first=one.first)
        left, right = (reader.read(text, first=one.first) for text in (one.left, one.right))
        self._beside = Beside(_ids(left), _ids(right))

    def fixed(self, texts: Texts) -> int:
        """Return how many tokens a pair has beside its texts: those of an empty one."""
        head, tail, *_ = self.around({**texts, "query": ""})
        return len(head) + len(tail) + sum(map(len, self._beside))

    def query(self, texts: Texts) -> Tokens:
        """Return the tokens of a query with its instruction."""
        asked = Asked(self, texts)
        head, tail, query, _ = asked.around
        return Tokens(query, False, fixed=len(head) + len(tail) - len(query), context=asked)

    def documents(self, texts: Sequence[str], *, offsets: bool, begins: bool, ends: bool) -> list[Tokens]:
        """Return the tokens of documents."""
        left, right = self._left if begins else "", self._right if ends else ""
        shown = [self._shown(text, begins=begins, ends=ends) for text in texts]
        encodings = self._tokenizer.encode_batch(
            [left + text + right for text in shown], add_special_tokens=False
        )
        found = []
        for encoding, text, whole in zip(encodings, shown, texts, strict=True):
            ids, places = _ids(encoding), _offsets(encoding)
            first, last = _holding(places, len(left), len(left) + len(text))
            stripped = len(whole) - len(whole.lstrip()) if self._strip and begins else 0
            places = np.clip(places[first:last] - len(left), 0, len(text)) + stripped
            tokens = Tokens(
                ids[first:last],
                False,
                places if offsets else None,
                fixed=len(ids) - (last - first),
                begins=begins,
                ends=ends,
                context=Beside(ids[:first], ids[last:]),
            )
            found.append(tokens)
        return found

    def _shown(self, text: str, *, begins: bool, ends: bool) -> str:
        text = text.lstrip() if self._strip and begins else text
        return text.rstrip() if self._strip and ends else text

    def around(self, texts: Texts) -> Around:
        """Return the tokens around a document for a query and its instruction."""
        cut = self._cuts[bool(texts.get("instruction"))]
        own: list[tuple[Ids, Ids]] = []
        head, tail = (self._read(items, texts, own) for items in (cut.before, cut.after))
        return Around(head, tail, *own[0])

    def _read(self, items: Sequence[Item], texts: Texts, own: list[tuple[Ids, Ids]]) -> Ids:
        """Return the tokens of pieces, and put those of the query into `own`, with their places in it."""
        found = [np.empty(0, np.int32)]
        for item in items:
            if not isinstance(item, Segment):
                found.append(item)
                continue
            encoding = self._reader.read(item.text(texts), first=item.first)
            ids, places = _ids(encoding), _offsets(encoding)
            found.append(ids)
            if (place := _query_in(item, texts)) is not None:
                start, stop, stripped = place
                first, last = _holding(places, start, stop)
                places = np.clip(places[first:last] - start, 0, stop - start) + stripped
                own.append((ids[first:last], places))
        return np.concatenate(found)

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join a pair, cut to the length: its document first, and its query where nothing is left of that.

        Where something was cut off, the fixed text beside it is put back in tokens of its own.
        """
        asked: Asked = query.context
        beside: Beside = document.context
        ids, wanted, ends = document.ids, len(query.ids), document.ends
        while True:
            kept = asked.kept(wanted, end=not query.begins)
            head, tail, *_ = kept.around
            begins = document.begins and (ends or len(ids) > 0)
            before = beside.before if begins else self._beside.before
            after = beside.after if ends else self._beside.after
            excess = len(head) + len(before) + len(ids) + len(after) + len(tail) - self.max_length
            if excess <= 0 or not (len(ids) or wanted):
                break
            if len(ids):
                over = excess + len(self._beside.after) - len(after)
                ids, ends = ids[: max(0, len(ids) - max(0, over))], False
            else:
                wanted = max(0, wanted - excess)
        joined = np.concatenate((head, before, ids, after, tail))
        needed = len(query.ids) + len(document.ids) + query.fixed + document.fixed
        return Encoding(
            ids=joined,
            second=len(joined),
            cut=query.cut or document.cut or kept is not asked or len(ids) < len(document.ids),
            needed=needed,
            shared=len(head) if self.shared else 0,
            prefix=kept.prefix if self.shared else b"",
        )


def _ids(encoding: Read) -> Ids:
    return np.array(encoding.ids, np.int32)


def _offsets(encoding: Read) -> Ids:
    return np.array(encoding.offsets, np.int32).reshape(-1, 2)


def _holding(offsets: Ids, start: int, stop: int) -> tuple[int, int]:
    """Return the first token that holds something between two places, and the one after the last."""
    first = int(np.count_nonzero(offsets[:, 1] <= start))
    return first, max(first, int(np.count_nonzero(offsets[:, 0] < stop)))


def _query_in(segment: Segment, texts: Texts) -> tuple[int, int, int] | None:
    """Return where in a segment's text the query begins and ends, and what was stripped off its beginning."""
    start = 0
    for part in segment.parts:
        text = part if isinstance(part, str) else filled(part, texts)
        if isinstance(part, Hole) and part.slot == "query":
            query = texts["query"]
            stripped = len(query) - len(query.lstrip()) if part.strip else 0
            return start, start + len(text), stripped
        start += len(text)
    return None
