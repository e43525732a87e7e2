"""Which tokens of a batch are laid end to end: each shared prefix once, its branches behind it. Pure."""

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.models.base import Encoding
from podium.models.network.prefix_cache import Key

Ids = NDArray[np.int32]


class Laid(NamedTuple):
    """One sequence: its spans in the order that `Layout` asks for."""

    ids: list[Ids]
    """Tokens of each span: cached prefixes, whole pairs and other prefixes in ascending order of length,
    branches."""
    prefixes: NDArray[np.int64]
    """The span that each branch continues, −1 for the others."""
    pairs: list[int]
    """Index in the batch of the pair that ends with each span that is no prefix, in their order."""
    cached: list[Key]
    """The cached prefixes, which are the first spans."""
    computed: dict[Key, int]
    """The span of each other prefix, that with the most branches at the end."""

    @property
    def tokens(self) -> int:
        """Tokens that are computed."""
        return sum(len(ids) for ids in self.ids[len(self.cached) :])


class _Tree(NamedTuple):
    """A prefix with branches, or a whole pair, which has none."""

    ids: Ids
    branches: list[tuple[int, Ids]]
    pair: int
    key: Key | None = None
    cached: bool = False

    @property
    def tokens(self) -> int:
        return (0 if self.cached else len(self.ids)) + sum(len(ids) for _, ids in self.branches)


def sequences(
    encodings: Sequence[Encoding],
    max_tokens: int | None,
    *,
    share: bool,
    single: bool = False,
    cached: Container[Key] = (),
) -> Iterator[Laid]:
    """Yield the sequences that compute a batch, each pair in one of them.

    A sequence has no more than `max_tokens` tokens, but for one pair alone; so a prefix whose branches do not
    fit one is laid down in several. `share`: whether prefixes are shared at all. `single`: whether a pair is
    laid down as a prefix and its branch also where no other pair shares the prefix. `cached`: prefixes that
    an earlier batch computed, which are continued and not laid down.
    """
    held: list[_Tree] = []
    tokens = 0
    for tree in _trees(encodings, max_tokens, share=share, fewest=1 if single else 2, cached=cached):
        if held and max_tokens is not None and tokens + tree.tokens > max_tokens:
            yield _laid(held)
            held, tokens = [], 0
        held.append(tree)
        tokens += tree.tokens
    if held:
        yield _laid(held)


def _trees(
    encodings: Sequence[Encoding],
    max_tokens: int | None,
    *,
    share: bool,
    fewest: int,
    cached: Container[Key],
) -> Iterator[_Tree]:
    """Yield whole pairs in ascending order of length, so that neighbours are alike, then trees."""
    families: dict[Key, list[int]] = {}
    wholes: list[int] = []
    for index, encoding in enumerate(encodings):
        shared = _shared(encoding) if share else 0
        if shared:
            prefix = encoding.prefix or encoding.ids[:shared].tobytes()
            families.setdefault((shared, prefix), []).append(index)
        else:
            wholes.append(index)
    few = [key for key, members in families.items() if len(members) < fewest and key not in cached]
    wholes += [families.pop(key)[0] for key in few]
    for index in sorted(wholes, key=lambda i: len(encodings[i].ids)):
        yield _Tree(encodings[index].ids, [], index)
    for key, members in families.items():
        yield from _parts(encodings, members, max_tokens, fewest, key, cached=key in cached)


def _parts(
    encodings: Sequence[Encoding],
    members: list[int],
    max_tokens: int | None,
    fewest: int,
    key: Key,
    *,
    cached: bool,
) -> Iterator[_Tree]:
    """Yield the pairs of one prefix as one tree, or as several, each of which has the prefix."""
    shared = _shared(encodings[members[0]])
    prefix = encodings[members[0]].ids[:shared]
    branches: list[tuple[int, Ids]] = []
    before = 0 if cached else shared
    tokens = before
    for index in sorted(members, key=lambda i: len(encodings[i].ids)):
        own = encodings[index].ids[shared:]
        if branches and max_tokens is not None and tokens + len(own) > max_tokens:
            yield _tree(prefix, branches, fewest, key, cached=cached)
            branches, tokens = [], before
        branches.append((index, own))
        tokens += len(own)
    yield _tree(prefix, branches, fewest, key, cached=cached)


def _tree(prefix: Ids, branches: list[tuple[int, Ids]], fewest: int, key: Key, *, cached: bool) -> _Tree:
    """Return a tree; fewer branches than `fewest`, which is one, and their prefix are a whole pair."""
    if len(branches) < fewest and not cached:
        [(index, own)] = branches
        return _Tree(np.concatenate((prefix, own)), [], index)
    return _Tree(prefix, branches, -1, key, cached)


def _shared(encoding: Encoding) -> int:
    """Return the tokens of the prefix: never the last token, whose state is read."""
    return min(encoding.shared, len(encoding.ids) - 1)


def _laid(trees: list[_Tree]) -> Laid:
    trees = sorted(trees, key=lambda tree: (not tree.cached, len(tree.ids)))
    ids = [tree.ids for tree in trees]
    prefixes = [-1] * len(trees)
    pairs = [tree.pair for tree in trees if not tree.branches]
    for number, tree in enumerate(trees):
        for index, own in tree.branches:
            ids.append(own)
            prefixes.append(number)
            pairs.append(index)
    cached = [tree.key for tree in trees if tree.key is not None and tree.cached]
    computed = {
        tree.key: number
        for number, tree in sorted(enumerate(trees), key=lambda numbered: len(numbered[1].branches))
        if tree.key is not None and not tree.cached
    }
    return Laid(ids, np.array(prefixes), pairs, cached, computed)
