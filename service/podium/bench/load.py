"""Clients that ask a server over HTTP, and how long they wait."""

import contextlib
import http.client
import itertools
import json
import socket
import threading
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from podium.bench.results import Fairness, Way
from podium.bench.server import Server
from podium.bench.texts import Pair


class Asked(NamedTuple):
    """What clients saw."""

    seconds: list[float]
    """Latency of each request."""
    elapsed_s: float
    """From the first request sent to the last answer read."""


def body(pairs: Sequence[Pair], client: int, number: int, documents: int) -> bytes:
    """Return a request that no other one equals: equal pairs in flight are scored once."""
    start = (client * 31 + number * 7) % len(pairs)
    chosen = [pairs[(start + i) % len(pairs)][1] for i in range(documents)]
    return json.dumps({"query": f"{pairs[start][0]} {client} {number}", "documents": chosen}).encode()


def ask(server: Server, bodies: Sequence[Sequence[bytes]], stop: threading.Event | None = None) -> Asked:
    """Let one client a list of bodies send them one after another, all clients at once.

    With `stop`, each client goes round its list until that is set. Raises RuntimeError for an answer other
    than 200.
    """
    seconds: list[float] = []
    failures: list[str] = []

    def client(requests: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=3600)
        while True:
            for request in requests:
                if stop is not None and stop.is_set():
                    return connection.close()
                start = perf_counter()
                connection.request("POST", "/v1/rerank", request, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                seconds.append(perf_counter() - start)
                if response.status != 200:
                    failures.append(f"{response.status}: {answer[:200]!r}")
                    return connection.close()
            if stop is None:
                return connection.close()

    threads = [threading.Thread(target=client, args=(requests,)) for requests in bodies]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the server answered {failures[0]}")
    return Asked(seconds, perf_counter() - start)


def throughput(
    server: Server,
    name: str,
    pairs: Sequence[Pair],
    clients: int,
    requests: int,
    documents: int,
) -> tuple[Way, float]:
    """Return what `clients` clients saw, and the tokens per second."""
    bodies = [[body(pairs, c, n, documents) for n in range(requests)] for c in range(clients)]
    tokens = server.metric("podium_tokens_total")
    if clients == 1:
        asked, added = _ask_alone(server, bodies[0])
    else:
        asked, added = ask(server, bodies), None
    tokens = server.metric("podium_tokens_total") - tokens
    p50, p95, p99 = (float(x) * 1000 for x in np.percentile(asked.seconds, [50, 95, 99]))
    way = Way(
        model=name,
        way=f"HTTP, {clients} client{'s' * (clients > 1)} × {documents} documents",
        pairs_per_s=clients * requests * documents / asked.elapsed_s,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        added_ms=added,
        memory_mib=server.peak_memory_mib(),
    )
    return way, tokens / asked.elapsed_s


def _ask_alone(server: Server, bodies: Sequence[bytes]) -> tuple[Asked, float]:
    """Send requests one by one; return what was seen, and the median of what each took beyond the
    server's own inference and tokenization, in milliseconds. No request waits for another one.
    """

    def computing() -> float:
        names = ("podium_inference_seconds_sum", "podium_tokenization_seconds_sum")
        return sum(server.metric(name) for name in names)

    seconds, added = [], []
    for request in bodies:
        before = computing()
        seconds += ask(server, [[request]]).seconds
        added.append(seconds[-1] - (computing() - before))
    return Asked(seconds, sum(seconds)), float(np.median(added)) * 1000


def fairness(server: Server, name: str, pairs: Sequence[Pair], seconds: float) -> Fairness:
    """Return how long 10-document requests take alone, and beside two clients with 1,000 documents each."""
    small = [[body(pairs, 99, number, 10) for number in range(40)]]
    alone = ask(server, small)
    stop = threading.Event()
    crowd = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=3600) for _ in range(2)]
    for client, connection in enumerate(crowd):
        large = [body(pairs, client, number, 1000) for number in range(3)]
        threading.Thread(target=_ask_without_pause, args=(connection, large), daemon=True).start()
    threading.Timer(seconds, stop.set).start()
    crowded = ask(server, small, stop)
    for connection in crowd:  # their last requests would take a large model minutes
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    p50, p99 = np.percentile(crowded.seconds, [50, 99])
    return Fairness(
        model=name,
        alone_p99_ms=float(np.percentile(alone.seconds, 99)) * 1000,
        crowded_p50_ms=float(p50) * 1000,
        crowded_p99_ms=float(p99) * 1000,
    )


def _ask_without_pause(connection: http.client.HTTPConnection, requests: Sequence[bytes]) -> None:
    """Send requests one after another until the connection is closed."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        for request in itertools.cycle(requests):
            connection.request("POST", "/v1/rerank", request, {"Content-Type": "application/json"})
            connection.getresponse().read()
