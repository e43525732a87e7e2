"""The service under everything at once for a while: `make soak MINUTES=30`.

`podium serve` with the built-in model, on loopback. Callers of every API send requests of random sizes, some
broken, some left in the middle; once a minute ten times what the queue holds; in the first third the process
is told to end twice, under load, and started anew. In the end: every request that was sent had an answer,
memory was flat after the first third, nothing waits, and the last process ended well. Exit code 1 where not.
"""

import argparse
import copy
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from podium.dialects.base import Dialect
from podium.dialects.table import ROUTES, spoken_on

CALLERS = 8
QUEUE_PAIRS = 1_000
ENDED_S = 300
"""Seconds for a full queue on a slow machine."""
FLAT = 0.05
"""By which memory may differ from its mean after the first third."""
ANSWERED = {200, 429, 503, 504}
"""What a whole, well-formed request may be answered: a result, too many, starting or ending, too slow."""
REQUEST_S = 60
"""After which the service gives a request up; a caller waits twice as long for some answer."""
WORDS = Path(__file__).read_text().split()


class Process:
    """`podium serve` on a free port."""

    def __init__(self) -> None:
        self.log: list[str] = []
        settings = {
            "MAX_QUEUE_PAIRS": str(QUEUE_PAIRS),
            "REQUEST_TIMEOUT_S": str(REQUEST_S),
            "LOG_FORMAT": "json",
            "PORT": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from podium.cli import main; main()", "serve"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **{f"PODIUM_{name}": value for name, value in settings.items()}},
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on http://\S+:(\d+)", line):
                self.port = int(found[1])
                break
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if '"level":"info"' not in line or "draining" in line:
                self.log.append(line)

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def metric(self, name: str) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return float(re.search(rf"^{name} (\S+)", text, re.MULTILINE)[1])  # type: ignore[index]

    def end(self) -> int:
        """Send SIGTERM; return the exit code. What was admitted is answered before."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(ENDED_S)


class Soak:
    """The callers and what they saw."""

    def __init__(self, seed: int) -> None:
        self.process = Process()
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []
        self._seed = seed
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self, minutes: float) -> list[tuple[float, float]]:
        """Let callers loose for so long; return seconds and MiB of the last process since a third of it."""
        started = time.monotonic()
        whole = minutes * 60
        callers = [
            threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        restarts = [whole / 9, 2 * whole / 9]
        samples = []
        burst = 30.0
        while (now := time.monotonic() - started) < whole:
            if restarts and now >= restarts[0]:
                del restarts[0]
                self._restart()
            if now >= burst:
                burst += 60
                self._overload()
            if now >= whole / 3:
                samples.append((now, self.process.resident_mib()))
            time.sleep(0.5)
        self._over.set()
        for caller in callers:
            caller.join()
        return samples

    def _restart(self) -> None:
        old = self.process
        code = old.end()
        if code != 0:
            self._note(f"a process that was told to end under load ended with {code}")
        self._check_log(old)
        self.process = Process()

    def _check_log(self, process: Process) -> None:
        for line in process.log:
            if json.loads(line)["level"] in ("error", "critical"):
                self._note(line[:500])

    def _overload(self) -> None:
        chosen = random.Random(time.monotonic())
        bodies = [request(chosen, 500) for _ in range(10 * QUEUE_PAIRS // 500)]
        threads = [threading.Thread(target=self._send, args=(*body, "whole", chosen)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, number: int) -> None:
        chosen = random.Random(self._seed * 1_000 + number)
        while not self._over.is_set():
            path, body = request(chosen, int(10 ** chosen.uniform(0, 2.3)))
            how = chosen.choices(["whole", "broken", "left in the body", "left waiting"], [20, 2, 1, 2])[0]
            self._send(path, body[:-3] if how == "broken" else body, how, chosen)
            if chosen.random() < 0.1:
                time.sleep(chosen.random())

    def _send(self, path: str, body: bytes, how: str, chosen: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.process.port, timeout=2 * REQUEST_S)
        try:
            connection.connect()
        except ConnectionError:  # between two processes
            self._count("not let in")
            time.sleep(0.2)
            return
        try:
            connection.putrequest("POST", path)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            connection.send(body[: len(body) // 2] if how == "left in the body" else body)
            if how.startswith("left"):
                time.sleep(chosen.uniform(0, 0.3))
                self._count("left")
                return
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            self._note(f"no answer to {path} with {len(body)} bytes: {error!r}")
            return
        finally:
            connection.close()
        self._count(str(status))
        expected = ANSWERED if how == "whole" else {400, 422, 503}
        if status not in expected:
            self._note(f"{how} {path} with {len(body)} bytes: {status}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.statuses[what] += 1

    def _note(self, fault: str) -> None:
        with self._lock:
            self.faults.append(fault)

    def end(self) -> None:
        """Check that nothing is left, and that the last process ends well."""
        deadline = time.monotonic() + 60
        while self.process.metric("podium_queue_pairs") and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in ("podium_queue_pairs", "podium_queue_tokens"):
            if left := self.process.metric(name):
                self._note(f"{name} is {left} when nobody asks any more")
        code = self.process.end()
        if code != 0:
            self._note(f"the last process ended with {code}")
        told = [line for line in self.process.log if "draining" in line]
        if not any("0 admitted requests" in line for line in told):
            self._note(f"requests are left: {told}")
        self._check_log(self.process)


def request(chosen: random.Random, count: int) -> tuple[str, bytes]:
    """Return a path and a body of its API with so many documents, of random lengths."""
    path = chosen.choice([path for path in ROUTES if "{" not in path])
    dialect: Dialect = chosen.choice(spoken_on(path))
    body = copy.deepcopy(dialect.example)
    for values in lists(body):
        example = values[0]
        values[:] = [vary(example, text(chosen)) for _ in range(count)]
    return path, json.dumps(body).encode()


def lists(value: Any) -> Iterator[list[Any]]:
    """Yield the lists of texts in a body; those of several queries stay as they are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, list) and inner and key not in ("queries", "rank_fields"):
                yield inner
            else:
                yield from lists(inner)


def vary(example: Any, words: str) -> Any:
    """Return a document like another one, with another text."""
    if isinstance(example, str):
        return words
    return {key: words if key in ("text", "passage") else value for key, value in example.items()}


def text(chosen: random.Random) -> str:
    """Return some words, nearly always few."""
    return " ".join(chosen.choices(WORDS, k=int(10 ** chosen.uniform(0, 2.5))))


def flatness(samples: Sequence[tuple[float, float]]) -> list[float]:
    """Return the median of memory in each of eight stretches, in MiB."""
    size = len(samples) // 8
    if size == 0:
        raise SystemExit("too short to tell: memory is looked at after a third of the time; give MINUTES=10")
    return [statistics.median(mib for _, mib in samples[at : at + size]) for at in range(0, size * 8, size)]


def main() -> None:
    """Run it and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    soak = Soak(options.seed)
    samples = soak.run(options.minutes)
    soak.end()
    stretches = flatness(samples)
    mean = statistics.mean(stretches)
    widest = max(abs(each - mean) for each in stretches) / mean
    if widest > FLAT:
        soak.faults.append(f"memory differs from its mean by {widest:.1%}, {FLAT:.0%} is the bound")
    print("answers: " + ", ".join(f"{what}: {count}" for what, count in sorted(soak.statuses.items())))
    print("memory in MiB: " + " ".join(f"{each:.0f}" for each in stretches) + f", ± {widest:.1%}")
    for fault in soak.faults[:20]:
        print(f"FAULT {fault}")
    print("well" if not soak.faults else f"{len(soak.faults)} faults")
    sys.exit(bool(soak.faults))


if __name__ == "__main__":
    main()
