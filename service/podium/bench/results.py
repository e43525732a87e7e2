"""What was measured, as values; JSON is made of these."""

import msgspec


class Way(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to score pairs with one model."""

    model: str
    way: str
    """`Sentence Transformers float32`, `bare bfloat16`, `HTTP, 8 clients`."""
    pairs: int
    """So many were scored."""
    pairs_per_s: float
    share: float | None = None
    """Operations of the scored tokens per second, of the machine's limit in the same dtype; CPU only. All
    count, those of the last layer that no head reads and Podium leaves out included."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    added_ms: float | None = None
    """Median of each request's latency less the server's own inference and tokenization for it."""
    of_bare: float | None = None
    """Tokens per second, of what the bare model did right before and right after: in the same dtype, of int8
    in the dtype that `auto` takes (median of several turns)."""
    memory_mib: float | None = None
    """Resident memory of the server at its peak."""


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """10-document requests while two clients send 1,000-document requests without pause."""

    model: str
    requests: int
    """So many, beside the others."""
    alone_p99_ms: float
    crowded_p50_ms: float
    crowded_p99_ms: float


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A model by Podium and by Sentence Transformers, on the same pairs, in the same dtype, turn by turn."""

    model: str
    dtype: str
    texts: str
    read_tokens: float
    """Of a pair, as the reference reads it."""
    computed_tokens: float
    """Of a pair, as Podium computes it: a shared prefix once a batch."""
    pairs: int
    """So many were scored by Podium."""
    pairs_per_s: float
    reference_pairs_per_s: float | None
    """Of Sentence Transformers; None where it was not measured."""
    share: float | None
    """Operations really computed per second, of the machine's limit in this dtype; CPU only."""
    limit_gflops: float


class Report(msgspec.Struct, kw_only=True):
    """All of one run."""

    machine: str
    texts: str
    pairs: int
    mean_tokens: float
    limits_gflops: dict[str, float]
    """dtype to the machine's limit, GFLOP/s."""
    gflop_per_pair: dict[str, float]
    """Model to the operations of a pair."""
    ways: list[Way] = []
    fairness: list[Fairness] = []
    beside: list[Beside] = []
    """The families, and after them the curve of a decoder."""
    left_out: list[str] = []
    """What was not measured, and why."""
    seconds: float = 0.0
