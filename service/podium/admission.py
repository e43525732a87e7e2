"""Whether a request may wait: pure. A request is admitted whole or refused whole, before any work."""

from podium.errors import InvalidRequest, Overloaded


def admit(
    documents: int,
    *,
    windows: int,
    waiting_pairs: int,
    waiting_tokens: int,
    tokens_per_s: float,
    max_queue_pairs: int,
) -> None:
    """Let a request in, or raise Overloaded with the time until the queue is empty.

    It has one pair a document, or up to `windows` in all where documents are read in windows; more of them
    than may wait are an InvalidRequest. A request that finds nothing waiting is let in with any number of
    documents, else one larger than the queue never could be.
    """
    if windows > max(max_queue_pairs, documents):
        raise InvalidRequest(
            f"{documents} documents may become {windows} windows, the limit is {max_queue_pairs} "
            "(max_queue_pairs); send fewer documents a request, or lower `max_chunks_per_doc`"
        )
    if waiting_pairs == 0 or waiting_pairs + windows <= max_queue_pairs:
        return
    raise Overloaded(
        f"{waiting_pairs} pairs are waiting and this request has {windows}, the limit is {max_queue_pairs} "
        "(max_queue_pairs); try again later or send fewer documents",
        retry_after_s(waiting_tokens, tokens_per_s),
    )


def retry_after_s(waiting_tokens: int, tokens_per_s: float) -> float:
    """Return the seconds that the waiting tokens will take; Overloaded bounds them."""
    return waiting_tokens / tokens_per_s
