"""Which tokens of a batch are laid end to end: each shared prefix once, its branches behind it. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.models.base import Encoding

Ids = NDArray[np.int32]


class Laid(NamedTuple):
    """One sequence: its spans in the order that `Layout` asks for."""

    ids: list[Ids]
    """Tokens of each span: whole pairs and prefixes in ascending order of length, then branches."""
    prefixes: NDArray[np.int64]
    """The span that each branch continues, −1 for the others."""
    pairs: list[int]
    """Index in the batch of the pair that ends with each span that is no prefix, in their order."""

    @property
    def tokens(self) -> int:
        """Tokens that are computed."""
        return sum(len(ids) for ids in self.ids)


class _Tree(NamedTuple):
    """A prefix with branches, or a whole pair, which has none."""

    ids: Ids
    branches: list[tuple[int, Ids]]
    pair: int

    @property
    def tokens(self) -> int:
        return len(self.ids) + sum(len(ids) for _, ids in self.branches)


def sequences(
    encodings: Sequence[Encoding], max_tokens: int | None, *, share: bool, single: bool = False
) -> Iterator[Laid]:
    """Yield the sequences that compute a batch, each pair in one of them.

    A sequence has no more than `max_tokens` tokens, but for one pair alone; so a prefix whose branches do not
    fit one is laid down in several. `share`: whether prefixes are shared at all. `single`: whether a pair is
    laid down as a prefix and its branch also where no other pair shares the prefix.
    """
    held: list[_Tree] = []
    tokens = 0
    for tree in _trees(encodings, max_tokens, share=share, single=single):
        if held and max_tokens is not None and tokens + tree.tokens > max_tokens:
            yield _laid(held)
            held, tokens = [], 0
        held.append(tree)
        tokens += tree.tokens
    if held:
        yield _laid(held)


def _trees(
    encodings: Sequence[Encoding], max_tokens: int | None, *, share: bool, single: bool
) -> Iterator[_Tree]:
    """Yield whole pairs in ascending order of length, so that neighbours are alike, then trees."""
    families: dict[tuple[int, bytes], list[int]] = {}
    wholes: list[int] = []
    for index, encoding in enumerate(encodings):
        shared = _shared(encoding) if share else 0
        if shared:
            prefix = encoding.prefix or encoding.ids[:shared].tobytes()
            families.setdefault((shared, prefix), []).append(index)
        else:
            wholes.append(index)
    fewest = 1 if single else 2
    wholes += [members[0] for members in families.values() if len(members) < fewest]
    for index in sorted(wholes, key=lambda i: len(encodings[i].ids)):
        yield _Tree(encodings[index].ids, [], index)
    for members in families.values():
        if len(members) >= fewest:
            yield from _parts(encodings, members, max_tokens, fewest)


def _parts(
    encodings: Sequence[Encoding], members: list[int], max_tokens: int | None, fewest: int
) -> Iterator[_Tree]:
    """Yield the pairs of one prefix as one tree, or as several, each of which has the prefix."""
    shared = _shared(encodings[members[0]])
    prefix = encodings[members[0]].ids[:shared]
    branches: list[tuple[int, Ids]] = []
    tokens = shared
    for index in sorted(members, key=lambda i: len(encodings[i].ids)):
        own = encodings[index].ids[shared:]
        if branches and max_tokens is not None and tokens + len(own) > max_tokens:
            yield _tree(prefix, branches, fewest)
            branches, tokens = [], shared
        branches.append((index, own))
        tokens += len(own)
    yield _tree(prefix, branches, fewest)


def _tree(prefix: Ids, branches: list[tuple[int, Ids]], fewest: int) -> _Tree:
    """Return a tree; fewer branches than `fewest`, which is one, and their prefix are a whole pair."""
    if len(branches) < fewest:
        [(index, own)] = branches
        return _Tree(np.concatenate((prefix, own)), [], index)
    return _Tree(prefix, branches, -1)


def _shared(encoding: Encoding) -> int:
    """Return the tokens of the prefix: never the last token, whose state is read."""
    return min(encoding.shared, len(encoding.ids) - 1)


def _laid(trees: list[_Tree]) -> Laid:
    trees = sorted(trees, key=lambda tree: len(tree.ids))
    ids = [tree.ids for tree in trees]
    prefixes = [-1] * len(trees)
    pairs = [tree.pair for tree in trees if not tree.branches]
    for number, tree in enumerate(trees):
        for index, own in tree.branches:
            ids.append(own)
            prefixes.append(number)
            pairs.append(index)
    return Laid(ids, np.array(prefixes), pairs)
