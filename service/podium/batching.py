"""Which of the waiting pairs run next: pure. It knows lengths, prefixes and due times, nothing else.

A pair may begin with a prefix that others of its request have too: instruction and query, where a decoder
reads the document last. A batch computes it once for all of its pairs that have it; the next one does so
again, unless the model kept it, which is not known here. Where it is as long as the documents, batches of a
few pairs would spend most of their time on it. So pairs of one prefix stay together, in two ways:

- the pairs with which a batch begins are taken beyond the budget, until their prefix is a PREFIX_SHARE of the
  batch, within what the device holds and LONGEST_S: whoever comes next waits for them at most that long;
- pairs of another prefix join only if all of them fit, or their prefix is a PREFIX_SHARE of what joins.

Neither holds anybody up: who is due first begins every batch.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

PATIENCE = 10
"""A request is due after this many times what it would take alone (see `due_at`)."""

MAX_PRIORITY = 10
"""Seconds by which callers may shift when their requests are due (see `due_at`)."""

BATCH_S = 0.25
"""What a batch aims at: a request that arrives waits for at most one. Measured on CPUs: shorter batches cost
a large model throughput, longer ones make small requests wait. On an accelerator the start measures what is
enough, see `readiness.measure`; this is the most there."""

LEAST_TOKENS = 256
"""Tokens that a batch on a CPU aims at, however long they take: with fewer, a large model's time goes into
reading its weights from memory. A model of 150 million, where 70 tokens take 250 ms, loses a third so."""

LONGEST_S = 10.0
"""What a batch that LEAST_TOKENS or its prefix stretches takes at most, by the learnt speed: a very slow
model keeps nobody waiting for minutes, and does not look stuck."""

WORTH_RUNNING = 0.25
"""Share of the budget from which a batch is large enough to run by itself. Where it ends a request it is then
not filled with pairs of one that it does not end: the answer would wait for them."""

PREFIX_SHARE = 1 / 12
"""Share of the tokens that a batch may spend on a prefix which a later batch may compute again. A prefix of
100 tokens before documents of 60 then has 18 of them to itself: 9 % more work than all of them at once."""

LOOKED_AT = 1_000
"""Pairs that do not fit and are passed over in one batch: what it takes to plan one does not grow with the
queue."""


class Work(Protocol):
    """A pair, or a window of one, as it waits."""

    @property
    def tokens(self) -> int:
        """All that the model reads of it."""

    @property
    def shared(self) -> int:
        """Leading tokens that are the same for all pairs with this prefix; 0 for no prefix."""

    @property
    def prefix(self) -> bytes:
        """What tells prefixes apart."""


class Waiting(NamedTuple):
    """The waiting pairs of one request."""

    order: float
    """Whoever has the least runs first: when the request is due."""
    pairs: Sequence[Work]
    """In the order in which they should run, those of one prefix together."""


class Cost(NamedTuple):
    """What a batch costs, in tokens as the model computes them; `add` returns what it costs with one more."""

    padded: bool
    """Whether the model pads: the longest times their number, else the sum of the lengths, prefixes once."""
    tokens: int = 0
    pairs: int = 0
    longest: int = 0
    prefixes: frozenset[bytes] = frozenset()

    def add(self, pair: Work) -> "Cost":
        """Return the cost of a batch that holds this pair as well."""
        count, longest = self.pairs + 1, max(self.longest, pair.tokens)
        if self.padded:
            return Cost(True, longest * count, count, longest)
        if not pair.shared:
            return Cost(False, self.tokens + pair.tokens, count, longest, self.prefixes)
        if pair.prefix in self.prefixes:
            return Cost(False, self.tokens + pair.tokens - pair.shared, count, longest, self.prefixes)
        return Cost(False, self.tokens + pair.tokens, count, longest, self.prefixes | {pair.prefix})


def cost(pairs: Sequence[Work], *, padded: bool = False) -> int:
    """Return the tokens that the model computes for a batch of these pairs."""
    total = Cost(padded)
    for pair in pairs:
        total = total.add(pair)
    return total.tokens


def due_at(arrival: float, tokens: int, tokens_per_s: float, priority: int = 0) -> float:
    """Return when a request of so many tokens ought to be done, in seconds on the clock of `arrival`.

    Whoever is due first runs first. So a small request passes a large one that came a little earlier, and no
    stream of small ones holds a large one up for more than PATIENCE times its own work. `priority` is as if
    it had come so many seconds later, or earlier where it is negative; it holds nobody up for longer than
    MAX_PRIORITY seconds.
    """
    return arrival + PATIENCE * tokens / tokens_per_s + max(-MAX_PRIORITY, min(priority, MAX_PRIORITY))


def plan_batch(
    waiting: Sequence[Waiting], budget: int, *, most: int | None = None, padded: bool = False
) -> list[list[int]]:
    """Return which pairs of each request to take, as ascending positions, at least one in all.

    `budget` is in tokens as the model computes them, see `Cost`; `most` is what the device holds, at least
    the budget, and the budget where nothing is said. A pair that does not fit leaves its room to shorter ones
    behind it and to later requests, to those that the batch does not end only up to WORTH_RUNNING once it
    ends one.
    """
    taken: list[list[int]] = [[] for _ in waiting]
    batch = Cost(padded)
    ends_one = False
    passed_over = 0
    for index in sorted(range(len(waiting)), key=lambda i: waiting[i].order):
        pairs = waiting[index].pairs
        then = batch
        chosen: list[int] = []
        for start, stop in _runs(pairs, padded=padded):
            limit = (
                budget if batch.pairs or chosen else first_budget(pairs[start], budget, most, padded=padded)
            )
            before, fit = then, []
            for position in range(start, stop):
                more = then.add(pairs[position])
                if then.pairs and more.tokens > limit:
                    passed_over += 1
                    if passed_over >= LOOKED_AT:
                        break
                    continue
                then = more
                fit.append(position)
            if before.pairs and len(fit) < stop - start and _wasteful(pairs[start], before, then):
                then, fit = before, []
            chosen += fit
            if then.tokens >= budget or passed_over >= LOOKED_AT:
                break
        ends = len(chosen) == len(pairs)
        if ends_one and batch.tokens >= WORTH_RUNNING * budget and not ends:
            continue
        batch, taken[index] = then, chosen
        ends_one = ends_one or (ends and len(pairs) > 0)
        if batch.tokens >= budget or passed_over >= LOOKED_AT:
            break
    return taken


def cut(pairs: Sequence[Work], budget: int, *, padded: bool = False) -> list[list[int]]:
    """Return the batches of one request that nobody waits beside, as positions of its pairs."""
    left = list(range(len(pairs)))
    batches = []
    while left:
        waiting = Waiting(0, [pairs[position] for position in left[:LOOKED_AT]])
        [taken] = plan_batch([waiting], budget, most=budget, padded=padded)
        batches.append([left[position] for position in taken])
        for position in reversed(taken):
            del left[position]
    return batches


def _runs(pairs: Sequence[Work], *, padded: bool) -> Iterator[tuple[int, int]]:
    """Yield start and end of the neighbours that share a prefix; a pair without one is a run of its own."""
    start = 0
    while start < len(pairs):
        stop, first = start + 1, pairs[start]
        if first.shared and not padded:
            while stop < len(pairs) and pairs[stop].prefix == first.prefix and pairs[stop].shared:
                stop += 1
        yield start, stop
        start = stop


def first_budget(first: Work, budget: int, most: int | None, *, padded: bool = False) -> int:
    """Return the budget of the pairs with which a batch begins."""
    if padded or most is None:
        return budget
    return max(budget, min(most, int(first.shared / PREFIX_SHARE)))


def _wasteful(first: Work, before: Cost, then: Cost) -> bool:
    """Whether the prefix of a run that a batch holds in part is too much of what it adds to the batch."""
    return not then.padded and first.shared > PREFIX_SHARE * (then.tokens - before.tokens)


def next_budget(
    tokens_per_s: float, max_batch_tokens: int, batch_s: float = BATCH_S, least_tokens: int = 1
) -> int:
    """Return the tokens of a batch that takes `batch_s` at this speed, at least `least_tokens`."""
    return min(max_batch_tokens, max(least_tokens, int(tokens_per_s * batch_s)))


def most_tokens(tokens_per_s: float, held: int) -> int:
    """Return the tokens that a batch is stretched to at most, at least 1: LONGEST_S of work at this speed,
    within the `held` ones that the device has room for.
    """
    return max(1, min(held, int(tokens_per_s * LONGEST_S)))


def learn_speed(
    tokens_per_s: float, tokens: int, seconds: float, budget: int, batch_s: float = BATCH_S
) -> float:
    """Return the speed, in tokens per second, after a batch of `tokens` took `seconds`.

    A batch that filled less than half of its budget and was quick says little of the speed: its time went
    into what every batch costs.
    """
    if tokens < budget / 2 and seconds < batch_s:
        return tokens_per_s
    return tokens_per_s + 0.5 * (tokens / max(seconds, 1e-6) - tokens_per_s)


def ended_by(budget: int, most: int, *, left: bool) -> str:
    """Return what bounds a batch: `empty`, no pair is left to be taken (`left`); `tokens`, the device holds
    no more than `most`; `time`, a larger one would take longer than a batch aims at.
    """
    if not left:
        return "empty"
    return "tokens" if budget >= most else "time"
