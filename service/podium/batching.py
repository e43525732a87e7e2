"""Which of the waiting pairs run next: pure. It knows lengths and due times, nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

PATIENCE = 10
"""A request is due after this many times what it would take alone (see `due_at`)."""

MAX_PRIORITY = 10
"""Seconds by which callers may shift when their requests are due (see `due_at`)."""

BATCH_S = 0.25
"""What a batch aims at: a request that arrives waits for at most one. Measured: shorter batches cost a
large model throughput, longer ones make small requests wait."""

WORTH_RUNNING = 0.25
"""Share of the budget from which a batch is large enough to run by itself. Where it ends a request it is then
not filled with pairs of one that it does not end: the answer would wait for them."""


class Waiting(NamedTuple):
    """The waiting pairs of one request."""

    order: float
    """Whoever has the least runs first: when the request is due."""
    lengths: Sequence[int]
    """Tokens of its pairs, in the order in which they should run."""


def due_at(arrival: float, tokens: int, tokens_per_s: float, priority: int = 0) -> float:
    """Return when a request of so many tokens ought to be done, in seconds on the clock of `arrival`.

    Whoever is due first runs first. So a small request passes a large one that came a little earlier, and no
    stream of small ones holds a large one up for more than PATIENCE times its own work. `priority` is as if
    it had come so many seconds later, or earlier where it is negative; it holds nobody up for longer than
    MAX_PRIORITY seconds.
    """
    return arrival + PATIENCE * tokens / tokens_per_s + max(-MAX_PRIORITY, min(priority, MAX_PRIORITY))


def plan_batch(waiting: Sequence[Waiting], budget: int, *, padded: bool = False) -> list[list[int]]:
    """Return which pairs of each request to take, as ascending positions, at least one in all.

    `budget` is in tokens as the model computes them: the sum of the lengths, or with `padded` the longest
    times their number. A pair that does not fit leaves its room to shorter ones behind it and to later
    requests, to those that the batch does not end only up to WORTH_RUNNING once it ends one.
    """
    taken: list[list[int]] = [[] for _ in waiting]
    used = pairs = longest = 0
    ends_one = False
    for index in sorted(range(len(waiting)), key=lambda i: waiting[i].order):
        lengths = waiting[index].lengths
        if ends_one and used >= WORTH_RUNNING * budget and used + sum(lengths) > budget:
            continue
        for position, length in enumerate(lengths):
            longest_then = max(longest, length)
            used_then = longest_then * (pairs + 1) if padded else used + length
            if pairs and used_then > budget:
                continue
            used, longest, pairs = used_then, longest_then, pairs + 1
            taken[index].append(position)
            if used >= budget:
                return taken
        ends_one = ends_one or 0 < len(taken[index]) == len(lengths)
    return taken


def next_budget(tokens_per_s: float, max_batch_tokens: int) -> int:
    """Return the tokens of a batch that takes BATCH_S at this speed, at least 1."""
    return max(1, min(max_batch_tokens, int(tokens_per_s * BATCH_S)))


def learn_speed(tokens_per_s: float, tokens: int, seconds: float, budget: int) -> float:
    """Return the speed, in tokens per second, after a batch of `tokens` took `seconds`.

    A batch that filled less than half of its budget and was quick says little of the speed: its time went
    into what every batch costs.
    """
    if tokens < budget / 2 and seconds < BATCH_S:
        return tokens_per_s
    return tokens_per_s + 0.5 * (tokens / max(seconds, 1e-6) - tokens_per_s)
