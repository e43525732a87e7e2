"""A prompt as pieces: ids of its fixed text, texts that are read in one go, and where documents are cut out.

Fixed text is split at the control tokens that it writes; what lies between is tokenized with the callers'
texts that stand in it, because tokenizers merge over the edge of a slot on both sides. A document is
tokenized without knowing its query, so a place before and one behind it is sought where they do not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from podium.models.recipe import Hole, Slot
from podium.models.text.callers import control_tokens, without, without_first_blank

Ids = NDArray[np.int32]

FARTHEST = 48
"""Characters from a slot's edge to the cut at most; the cuts of known prompts are 0 to 2 away."""

Texts = Mapping[Slot, str]
Parts = Sequence[str | Hole]
Split = Callable[[str], Iterable[int | str]]
"""Text → its control tokens and what stands between them."""


class Segment(NamedTuple):
    """Fixed strings and holes that are tokenized as one text."""

    parts: tuple[str | Hole, ...]
    lstrip: bool = False
    """Whether a control token before it takes white space away, as added tokens may."""
    rstrip: bool = False
    first: bool = True
    """Whether it begins the prompt, where some tokenizers put a blank before a text."""

    def text(self, texts: Texts) -> str:
        """Return it with the holes filled."""
        text = "".join(part if isinstance(part, str) else filled(part, texts) for part in self.parts)
        text = text.lstrip() if self.lstrip else text
        return text.rstrip() if self.rstrip else text


Item = Ids | Segment


def filled(hole: Hole, texts: Texts) -> str:
    """Return what stands in a hole."""
    text = texts.get(hole.slot, "")
    return text.strip() if hole.strip else text


class Reader:
    """The model's tokenizer, for its prompt, and the callers' one, for texts."""

    def __init__(self, backend: Tokenizer, written: str) -> None:
        """`written`: the prompt's own text, whose added tokens steer the model too."""
        self.control = control_tokens(backend, written)
        self.whole = backend
        self.callers = without(backend, set(self.control.values()))
        self.tokens = backend.get_added_tokens_decoder()
        self._inner = without_first_blank(self.callers)

    def read(self, text: str, *, first: bool) -> Encoding:
        """Tokenize a text that callers may have a part in; `first`: it begins the prompt."""
        return self.at(first=first).encode(text, add_special_tokens=False)

    def at(self, *, first: bool) -> Tokenizer:
        """Return the callers' tokenizer for the beginning of a prompt, or for a text inside it."""
        return self.callers if first else self._inner

    def split(self, text: str) -> Iterator[int | str]:
        """Yield control tokens of fixed text by their ids, and what lies between them."""
        encoding = self.whole.encode(text, add_special_tokens=False)
        start = 0
        for number, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if number in self.control and text[begin:end].strip() == self.control[number].strip():
                if begin > start:
                    yield text[start:begin]
                yield number
                start = end
        if start < len(text):
            yield text[start:]


def spread(parts: Parts, *, instructed: bool) -> list[str | Hole]:
    """Return parts in which what stands beside a hole is one of its own, and neighbouring strings are one.

    Without an instruction its hole falls away.
    """
    result: list[str | Hole] = []
    for part in parts:
        if isinstance(part, Hole):
            if part.slot == "instruction" and not instructed:
                continue
            found: list[str | Hole] = [part.before, Hole(part.slot, strip=part.strip), part.after]
        else:
            found = [part]
        for each in found:
            if isinstance(each, str) and result and isinstance(result[-1], str):
                result[-1] += each
            elif each:
                result.append(each)
    return result


def pieces(
    parts: Parts,
    reader: Reader,
    *,
    instructed: bool,
    bos: Sequence[int] = (),
    apart: bool = False,
    split: Split | None = None,
) -> list[Item]:
    """Return a prompt in pieces.

    `apart`: each part is tokenized by itself; `split`: how control tokens are found, by default as the
    tokenizer finds them in fixed text.
    """
    split = split or reader.split
    items: list[Item] = [_array(bos)]
    first = True
    for group in [[part] for part in parts] if apart else [parts]:
        current: list[str | Hole] = []
        lstrip, first = False, first or apart
        for part in spread(group, instructed=instructed):
            for each in [part] if isinstance(part, Hole) else split(part):
                if isinstance(each, int):
                    token = reader.tokens[each]
                    segment = Segment(tuple(current), lstrip, token.lstrip, first)
                    items += [_piece(segment, reader), _array([each])]
                    current, lstrip, first = [], token.rstrip, False
                else:
                    current.append(each)
        items.append(_piece(Segment(tuple(current), lstrip, first=first), reader))
    return _merged(items)


def _array(numbers: Sequence[int]) -> Ids:
    return np.array(numbers, np.int32)


def _piece(segment: Segment, reader: Reader) -> Item:
    if any(isinstance(part, Hole) for part in segment.parts):
        return segment
    return _array(reader.read(segment.text({}), first=segment.first).ids)


def _merged(items: Iterable[Item]) -> list[Item]:
    """Return pieces in which neighbouring ids are one array, and none is empty."""
    result: list[Item] = []
    for item in items:
        if isinstance(item, Segment) or not result or isinstance(result[-1], Segment):
            result.append(item)
        else:
            result[-1] = np.concatenate((result[-1], item))
    return [item for item in result if isinstance(item, Segment) or len(item)]


def ids(items: Iterable[Item], reader: Reader, texts: Texts) -> Ids:
    """Return the tokens of pieces with their holes filled."""
    found = [
        _array(reader.read(item.text(texts), first=item.first).ids) if isinstance(item, Segment) else item
        for item in items
    ]
    return np.concatenate([_array([]), *found])


class Cut(NamedTuple):
    """A prompt in three: what comes before a document, what is tokenized with it, what comes after."""

    before: list[Item]
    left: str
    """Fixed text that stands before the document and is tokenized with it."""
    document: Hole
    right: str
    after: list[Item]
    first: bool
    """As a Segment has it, of the one in which the document stands."""


class _Place(NamedTuple):
    """Where a document stands: in which piece, and what stands before and after it there."""

    at: int
    before: tuple[str | Hole, ...]
    document: Hole
    after: tuple[str | Hole, ...]
    first: bool

    def beside(self, *, left: bool) -> str:
        """Return the fixed text right beside the document."""
        side = self.before[-1:] if left else self.after[:1]
        return side[0] if side and isinstance(side[0], str) else ""


def cut(
    prompts: Sequence[list[Item]], reader: Reader, samples: Sequence[Texts], *, apart: bool = False
) -> list[Cut] | None:
    """Cut each prompt around its document, all of them at the same distance from it.

    `samples` are texts for which the cut must change no token; `apart`: as `pieces` has it, so that what
    stands in the document's part stays with it. None where no place is found.
    """
    places = [_place(items) for items in prompts]
    found = [place for place in places if place is not None]
    if len(found) < len(places):
        return None
    left = _glue(found, partial(_keeps, reader, samples, left=True), left=True, whole=apart)
    right = _glue(found, partial(_keeps, reader, samples, left=False), left=False, whole=apart)
    if left is None or right is None:
        return None
    return [
        Cut(
            _merged([*items[: place.at], _piece(_minus(place, left, left=True), reader)]),
            left,
            place.document,
            right,
            _merged([_piece(_minus(place, right, left=False), reader), *items[place.at + 1 :]]),
            place.first,
        )
        for items, place in zip(prompts, found, strict=True)
    ]


def _place(items: Sequence[Item]) -> _Place | None:
    """Return where the document stands; None where it does so twice, or a token takes its white space."""
    found = [
        (_Place(index, item.parts[:at], part, item.parts[at + 1 :], item.first), item.lstrip or item.rstrip)
        for index, item in enumerate(items)
        if isinstance(item, Segment)
        for at, part in enumerate(item.parts)
        if isinstance(part, Hole) and part.slot == "document"
    ]
    return found[0][0] if len(found) == 1 and not found[0][1] else None


def _glue(
    places: Sequence[_Place], keeps: Callable[[_Place, str], bool], *, left: bool, whole: bool
) -> str | None:
    """Return the shortest fixed text beside the document at whose outer edge all prompts may be cut."""
    beside = [place.beside(left=left) for place in places]
    shortest = min(beside, key=len)
    sizes = [len(shortest)] if whole else [*range(min(len(shortest), FARTHEST)), len(shortest)]
    for size in sizes:
        glue = shortest[len(shortest) - size :] if left else shortest[:size]
        fits = (text.endswith(glue) if left else text.startswith(glue) for text in beside)
        if all(fits) and all(keeps(place, glue) for place in places):
            return glue
    return None


def _keeps(reader: Reader, samples: Sequence[Texts], place: _Place, glue: str, *, left: bool) -> bool:
    for texts in samples:
        before, after = Segment(place.before).text(texts), Segment(place.after).text(texts)
        document = filled(place.document, texts)
        if left:
            first, second = before[: len(before) - len(glue)], glue + document + after
        else:
            first, second = before + document + glue, after[len(glue) :]
        whole, one, other = (
            reader.read(text, first=place.first).ids for text in (first + second, first, second)
        )
        if whole != one + other:
            return False
    return True


def _minus(place: _Place, glue: str, *, left: bool) -> Segment:
    """Return what stands on one side of the document, without the fixed text that is tokenized with it."""
    parts = list(place.before if left else place.after)
    if glue:
        at = -1 if left else 0
        text = place.beside(left=left)
        parts[at] = text[: len(text) - len(glue)] if left else text[len(glue) :]
    return Segment(tuple(part for part in parts if part), first=place.first)
