"""Where the pairs of a packed batch lie: computed once a batch, read by every layer.

A batch is one sequence of spans laid end to end. A span is a whole pair, or a prefix that several pairs begin
with, or a branch: what comes after a prefix in one of them.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from podium.models.devices import placed
from podium.models.grouping import GROUP_PAIRS, MULTIPLE, ON_ACCELERATORS, ON_CPU, group


class Group(NamedTuple):
    """Neighbouring spans of like length whose attention is one product, padded to `padded` tokens each."""

    spans: list[tuple[int, int]]
    """Start and end of each span in the batch."""
    padded: int
    rows: Tensor
    """(spans · padded,) index of the token that stands in each place; padding repeats the span's first."""
    held: Tensor
    """(spans, padded) whether a token of the batch stands in a place."""
    kept: Tensor
    """(tokens,) places that hold the tokens of the batch, in their order."""
    prefix: tuple[int, int] | None
    """Start and end of the prefix that all spans of the group continue."""
    number: int | None
    """Which of all prefixes that is, in the order of spans."""
    masks: dict[Any, Tensor | None]
    """What `mask` made for the layers before."""

    @property
    def full(self) -> bool:
        """Whether a token stands in every place."""
        return len(self.kept) == len(self.rows)


class Seen(NamedTuple):
    """All tokens of a few pairs, those of their prefixes included."""

    rows: Tensor
    """(pairs · width,) index of each pair's tokens; padding repeats its first."""
    held: Tensor
    """(pairs, width) whether a token stands in a place."""
    lengths: Tensor
    """(pairs,)"""


class Keys(NamedTuple):
    """Tokens that are attended to, as variable-length attention takes them: end to end."""

    rows: Tensor
    """(tokens,) index of each in the batch."""
    offsets: Tensor
    """(sequences + 1,) int32: 0 and the end of each sequence."""
    longest: int


class Layout:
    """n spans of `lengths` tokens, (n,), laid end to end: t tokens in all.

    `prefixes`, (n,): the span that a branch continues, −1 for the others. Those come first, in ascending
    order of length; then the branches of one prefix after those of another, in ascending order too.
    `score_bytes`: bytes of the attention weights of one token with one other, over all heads. Spans without a
    prefix of more than `alone_above` tokens are groups of their own; with 0 every span is, so that its
    products and sums are the same whatever the neighbours.
    The first `cached` spans are prefixes whose keys and values an earlier batch computed: their rows stand
    behind those of the batch, among keys alone.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        device: torch.device,
        score_bytes: int,
        prefixes: NDArray[np.int64] | None = None,
        *,
        alone_above: int | None = None,
        cached: int = 0,
    ) -> None:
        self.lengths = lengths
        self.device = device
        self.prefixes = np.full(len(lengths), -1) if prefixes is None else prefixes
        computed = np.where(np.arange(len(lengths)) < cached, 0, lengths)
        self.ends = np.cumsum(computed)
        self.starts = self.ends - computed
        self.total = int(self.ends[-1])
        self.rows = -(-self.total // MULTIPLE) * MULTIPLE if device.type == "cpu" else self.total
        """Rows of the sequence; those after the first `total` belong to no span, and nothing reads them."""
        self.cached = cached
        """How many prefixes are cached ones."""
        self._prefix_spans = np.unique(self.prefixes[self.prefixes >= 0])
        self.ends[:cached] = self.rows + np.cumsum(lengths[:cached])
        self.starts[:cached] = self.ends[:cached] - lengths[:cached]
        self.before = np.where(self.prefixes < 0, 0, lengths[self.prefixes])
        """(n,) tokens of the pair that come before a span."""
        self.positions = self.filled(np.arange(self.total) - np.repeat(self.starts - self.before, computed))
        """(rows,) place of each token in its pair, from 0."""
        self.pairs = np.setdiff1d(np.arange(len(lengths)), self.prefixes)
        """(p,) the spans that pairs end with: all but prefixes."""
        self._score_bytes = score_bytes
        usual = ON_CPU if device.type == "cpu" else ON_ACCELERATORS
        self.grouping = usual._replace(pairs=1) if alone_above == 0 else usual
        self._alone_above = alone_above

    @property
    def longest(self) -> int:
        """Tokens of the longest span."""
        return int(self.lengths.max())

    @property
    def longest_pair(self) -> int:
        """Tokens of the longest pair, its prefix included."""
        return int((self.lengths + self.before).max())

    @property
    def shared(self) -> bool:
        """Whether there are prefixes."""
        return len(self.pairs) < len(self.lengths)

    @cached_property
    def firsts(self) -> Tensor:
        """(p,) index of each pair's first token."""
        return self._tensor((self.starts - self._to_prefix)[self.pairs])

    @cached_property
    def lasts(self) -> Tensor:
        """(p,) index of each pair's last token."""
        return self._tensor(self.ends[self.pairs] - 1)

    @property
    def _to_prefix(self) -> NDArray[np.int64]:
        """(n,) from a span's start back to that of its prefix."""
        return np.where(self.prefixes < 0, 0, self.starts - self.starts[self.prefixes])

    @cached_property
    def groups(self) -> list[Group]:
        """All spans, in order."""
        return [group for first, end in self._runs() for group in self._groups(first, end)]

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the end of spans with one prefix, or with none."""
        cuts = np.flatnonzero(np.diff(self.prefixes[self.cached :])) + self.cached + 1
        yield from zip([self.cached, *cuts.tolist()], [*cuts.tolist(), len(self.lengths)], strict=True)

    def _groups(self, first: int, end: int) -> Iterator[Group]:
        continued = int(self.prefixes[first])
        prefix = None if continued < 0 else (int(self.starts[continued]), int(self.ends[continued]))
        before = int(self.before[first])
        lengths, alone_above = self.lengths[first:end].tolist(), self._alone_above if prefix is None else None
        for size, padded in group(lengths, self._score_bytes, self.grouping, before, alone_above):
            starts, ends = self.starts[first : first + size], self.ends[first : first + size]
            places = np.arange(padded)
            held = places < (ends - starts)[:, None]
            yield Group(
                spans=list(zip(starts.tolist(), ends.tolist(), strict=True)),
                padded=padded,
                rows=self._tensor((starts[:, None] + places * held).ravel()),
                held=self._tensor(held),
                kept=self._tensor(np.flatnonzero(held)),
                prefix=prefix,
                number=None if continued < 0 else int(np.searchsorted(self._prefix_spans, continued)),
                masks={},
            )
            first += size

    @cached_property
    def seen(self) -> list[Seen]:
        """All tokens of all pairs, in the order of `pairs`, a few pairs at a time."""
        found = []
        for spans in self._parts():
            lengths = (self.before + self.lengths)[spans]
            width = -(-int(lengths.max()) // MULTIPLE) * MULTIPLE
            held = np.arange(width) < lengths[:, None]
            rows = self._rows_of(spans, width) * held + self._first_rows(spans)[:, None] * ~held
            found.append(Seen(self._tensor(rows.ravel()), self._tensor(held), self._tensor(lengths)))
        return found

    def _parts(self) -> Iterator[NDArray[np.int64]]:
        """Yield `pairs` a few at a time: on an accelerator as many as there are of like length."""
        if self.grouping is ON_CPU:
            yield from np.split(self.pairs, range(GROUP_PAIRS, len(self.pairs), GROUP_PAIRS))
            return
        for first, end in self._runs():
            run = self.pairs[np.searchsorted(self.pairs, first) : np.searchsorted(self.pairs, end)]
            lengths = (self.before + self.lengths)[run]
            at = 0
            for size, _ in group(lengths.tolist(), self._score_bytes, self.grouping):
                yield run[at : at + size]
                at += size

    def _first_rows(self, spans: NDArray[np.int64]) -> NDArray[np.int64]:
        return (self.starts - self._to_prefix)[spans]

    def _rows_of(self, spans: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Return the index of each token of the pairs that end with these spans: (len(spans), width), any
        number behind a pair's end.
        """
        places, before = np.arange(width), self.before[spans, None]
        own = self.starts[spans, None] - before + places
        return np.where(places < before, self._first_rows(spans)[:, None] + places, own)

    # variable-length attention reads the following

    @cached_property
    def offsets(self) -> Tensor:
        """(n + 1,) int32: 0 and the end of each span."""
        return self._offsets(self.lengths)

    @cached_property
    def end_offsets(self) -> Tensor:
        """(p + 1,) int32 from 0: the offsets of one token a pair."""
        return self._tensor(np.arange(len(self.pairs) + 1, dtype=np.int32))

    @cached_property
    def pair_keys(self) -> "Keys":
        """All tokens of each pair, those of its prefix included."""
        return self._keys(self.pairs)

    @cached_property
    def span_keys(self) -> "Keys":
        """All tokens of each span, those of its prefix included."""
        return self._keys(np.arange(len(self.lengths)))

    def _keys(self, spans: NDArray[np.int64]) -> "Keys":
        lengths = (self.before + self.lengths)[spans]
        longest = int(lengths.max())
        rows = self._rows_of(spans, longest)[np.arange(longest) < lengths[:, None]]
        return Keys(self._tensor(rows), self._offsets(lengths), longest)

    @cached_property
    def prefix_keys(self) -> "Keys":
        """All tokens of each prefix that has branches."""
        used = self._prefix_spans
        rows = np.concatenate([np.arange(self.starts[one], self.ends[one]) for one in used])
        return Keys(self._tensor(rows), self._offsets(self.lengths[used]), int(self.lengths[used].max()))

    @property
    def first_branch(self) -> int:
        """Index of the first branch's first token; from there on there are only branches."""
        return int(self.lengths[self.prefixes < 0].sum())

    @cached_property
    def branch_offsets(self) -> tuple[Tensor, int]:
        """(prefixes + 1,) int32: 0 and the end of all branches of each prefix, counted from `first_branch`;
        and the tokens of the longest of these.
        """
        branches = self.prefixes >= 0
        _, owner = np.unique(self.prefixes[branches], return_inverse=True)
        tokens = np.bincount(owner, weights=self.lengths[branches]).astype(np.int64)
        return self._offsets(tokens), int(tokens.max())

    def filled(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return (t,) integers as (rows,) int64, with zeros behind them."""
        filled = np.zeros(self.rows, dtype=np.int64)
        filled[: self.total] = values
        return filled

    def means(self, states: Tensor) -> Tensor:
        """Return the mean of each pair's states: (rows, hidden) → (n, hidden) float32; without prefixes."""
        owner = self._tensor(np.repeat(np.arange(len(self.lengths)), self.lengths))
        sums = torch.zeros(len(self.lengths), states.shape[1], device=self.device)
        sums.index_add_(0, owner, states[: self.total].float())
        return sums / self._tensor(self.lengths).unsqueeze(1)

    def _offsets(self, lengths: NDArray[np.int64]) -> Tensor:
        return self._tensor(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return placed(values, self.device)
