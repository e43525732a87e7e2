"""Clients that ask a server over HTTP, and how long they wait."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from time import perf_counter, sleep

import numpy as np

from podium.bench.results import Fairness, Way
from podium.bench.server import Server
from podium.bench.texts import Pair


def body(pairs: Sequence[Pair], client: int, number: int, documents: int) -> bytes:
    """Return a request that no other one equals: equal pairs in flight are scored once."""
    start = (client * 31 + number * 7) % len(pairs)
    chosen = [pairs[(start + i) % len(pairs)][1] for i in range(documents)]
    return json.dumps({"query": f"{pairs[start][0]} {client} {number}", "documents": chosen}).encode()


class Client:
    """One connection, on which a request follows the answer to the one before."""

    def __init__(self, server: Server, pairs: Sequence[Pair], number: int, documents: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=3600)
        self._bodies = (body(pairs, number, n, documents) for n in count())

    def ask(self) -> float:
        """Send the next request; return its latency in seconds. Raises RuntimeError where it is not answered
        with 200.
        """
        request = next(self._bodies)
        start = perf_counter()
        self._connection.request("POST", "/v1/rerank", request, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        seconds = perf_counter() - start
        if response.status != 200:
            raise RuntimeError(f"the server answered {response.status}: {answer[:200]!r}")
        return seconds

    def leave(self) -> None:
        """Close the connection, also while another thread waits for an answer."""
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def crowd(server: Server, pairs: Sequence[Pair], clients: int, documents: int) -> Iterator[list[float]]:
    """Let clients send requests without pause; yield the latencies so far, to which each answer adds one.

    At the end they leave, whatever they wait for: the last requests to a large model would take minutes.
    Raises RuntimeError where one was not answered with 200.
    """
    latencies: list[float] = []
    failures: list[Exception] = []
    left = threading.Event()

    def go_on(client: Client) -> None:
        try:
            while not left.is_set():
                latencies.append(client.ask())
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            if not left.is_set():
                failures.append(error)

    asking = [Client(server, pairs, number, documents) for number in range(clients)]
    threads = [threading.Thread(target=go_on, args=(client,)) for client in asking]
    for thread in threads:
        thread.start()
    try:
        yield latencies
    finally:
        left.set()
        for client in asking:
            client.leave()
        for thread in threads:
            thread.join()
    if failures:
        raise RuntimeError(f"a client failed: {failures[0]}")


def throughput(
    server: Server, name: str, pairs: Sequence[Pair], clients: int, documents: int, seconds: float
) -> tuple[Way, float]:
    """Return what clients saw in so many seconds, and the tokens per second that the server computed."""
    added = None
    if clients == 1:
        start, before = perf_counter(), _done(server)
        latencies, added = _one_by_one(server, pairs, documents, seconds)
        took, after = perf_counter() - start, _done(server)
    else:
        with crowd(server, pairs, clients, documents) as latencies:
            first = _done(server)
            while _done(server) == first:  # a large model's first batch
                sleep(0.05)
            start, before = perf_counter(), _done(server)
            sleep(seconds)
            took, after = perf_counter() - start, _done(server)
            latencies = list(latencies)
    p50, p95, p99 = (
        (float(x) * 1000 for x in np.percentile(latencies, [50, 95, 99])) if latencies else (None,) * 3
    )
    way = Way(
        model=name,
        way=f"HTTP, {clients} client{'s' * (clients > 1)} × {documents} documents",
        pairs=int(after[0] - before[0]),
        pairs_per_s=(after[0] - before[0]) / took,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        added_ms=added,
        memory_mib=server.peak_memory_mib(),
    )
    return way, (after[1] - before[1]) / took


def _done(server: Server) -> tuple[float, float]:
    """Return the pairs that the server has scored so far, and their tokens."""
    return server.metric("podium_pairs_total"), server.metric("podium_tokens_total")


def _one_by_one(
    server: Server, pairs: Sequence[Pair], documents: int, seconds: float
) -> tuple[list[float], float]:
    """Send requests one after another; return the latencies, and the median of what each took beyond the
    server's own inference and tokenization, in milliseconds. No request waits for another one.
    """

    def computing() -> float:
        names = ("podium_inference_seconds_sum", "podium_tokenization_seconds_sum")
        return sum(server.metric(name) for name in names)

    client = Client(server, pairs, 0, documents)
    latencies: list[float] = []
    added = []
    end = perf_counter() + seconds
    while not latencies or perf_counter() < end:
        before = computing()
        latencies.append(client.ask())
        added.append(latencies[-1] - (computing() - before))
    client.leave()
    return latencies, float(np.median(added)) * 1000


def fairness(server: Server, name: str, pairs: Sequence[Pair], seconds: float) -> Fairness:
    """Return how long 10-document requests take alone, for a quarter of the time, and beside two clients with
    1,000 documents each.
    """
    alone, _ = _one_by_one(server, pairs, 10, seconds / 4)
    with crowd(server, pairs, 2, 1000):
        crowded, _ = _one_by_one(server, pairs, 10, seconds * 3 / 4)
    p50, p99 = np.percentile(crowded, [50, 99])
    return Fairness(
        model=name,
        requests=len(crowded),
        alone_p99_ms=float(np.percentile(alone, 99)) * 1000,
        crowded_p50_ms=float(p50) * 1000,
        crowded_p99_ms=float(p99) * 1000,
    )
