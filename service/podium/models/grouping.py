"""Which spans of a packed batch are padded to like length, so that their attention is one product: pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

GROUP_BYTES = 4 << 20
"""Attention weights of one group at most, unless one span has more: larger ones leave the cache."""
GROUP_PAIRS = 16
GROUP_GROWTH = 1.15
"""Longest span of a group to its shortest: padding costs the square of this."""
MULTIPLE = 16
"""Groups of several spans, and whole sequences on the CPU, are padded to a multiple of this: few shapes
occur, and oneDNN takes 0.7 ms for each new one. A float32 span alone is multiplied by MKL, at its exact
length."""


class Grouping(NamedTuple):
    """How far spans of unlike length are padded to be one product: bytes, pairs and growth as above."""

    bytes: int = GROUP_BYTES
    pairs: int = GROUP_PAIRS
    growth: float = GROUP_GROWTH
    tokens: int | None = None
    """Tokens that a group attends to at most, a prefix once a span: there it is copied for each."""


ON_CPU = Grouping()
ON_ACCELERATORS = Grouping(256 << 20, 4096, 1.5, 32_768)
"""A launch costs more there than some padding does."""


def group(
    lengths: Sequence[int],
    score_bytes: int,
    grouping: Grouping = ON_CPU,
    before: int = 0,
    alone_above: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Cut ascending lengths, of spans that continue a prefix of `before` tokens, into groups.

    Yields how many spans each has and to what they are padded; those of more than `alone_above` tokens are
    groups of their own.
    """
    bytes_, most, growth, tokens = grouping
    size = padded = 0
    for index, length in enumerate(lengths):
        wanted = -(-length // MULTIPLE) * MULTIPLE
        seen = wanted if tokens is None else before + wanted  # on a CPU a prefix is multiplied once for all
        if size and (
            size == most
            or (alone_above is not None and length > alone_above)
            or length > lengths[index - size] * growth
            or (size + 1) * wanted * seen * score_bytes > bytes_
            or (tokens is not None and (size + 1) * seen > tokens)
        ):
            yield size, padded
            size = 0
        size, padded = size + 1, wanted
    if size:
        yield size, padded
