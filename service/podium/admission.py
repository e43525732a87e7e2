"""Whether a request may wait: pure. A request is admitted whole or refused whole, before any work."""

from podium.errors import Overloaded


def admit(
    pairs: int, *, waiting_pairs: int, waiting_tokens: int, tokens_per_s: float, max_queue_pairs: int
) -> None:
    """Let a request of `pairs` pairs in, or raise Overloaded with the time until the queue is empty.

    A request that finds nothing waiting is always let in, else one larger than the queue never could be.
    """
    if waiting_pairs == 0 or waiting_pairs + pairs <= max_queue_pairs:
        return
    raise Overloaded(
        f"{waiting_pairs} pairs are waiting and this request has {pairs}, the limit is {max_queue_pairs} "
        "(max_queue_pairs); try again later or send fewer documents",
        retry_after_s(waiting_tokens, tokens_per_s),
    )


def retry_after_s(waiting_tokens: int, tokens_per_s: float) -> float:
    """Return the seconds that the waiting tokens will take; Overloaded bounds them."""
    return waiting_tokens / tokens_per_s
