"""`podium serve` as a subprocess, and what it tells of itself."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

START_S = 120


class Server:
    """A running server on loopback."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Return the sum over all series of a Prometheus metric."""
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return sum(float(value) for value in found)

    def peak_memory_mib(self) -> float | None:
        """Return the greatest resident memory so far; None where /proc does not tell."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(peak[1]) / 1024 if peak else None


@contextmanager
def serving(folder: Path, dtype: str, log: Path) -> Iterator[Server]:
    """Serve the model in `folder` until the block ends; its log is written to a file.

    Raises RuntimeError, with the end of the log, where the server does not become ready.
    """
    port = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")},
        "PODIUM_MODEL": str(folder),
        "PODIUM_HOST": "127.0.0.1",
        "PODIUM_PORT": str(port),
        "PODIUM_DTYPE": dtype,
        "PODIUM_SELF_TEST": "off",  # random weights rank nothing
        "PODIUM_CACHE_BYTES": "0",
        "PODIUM_REQUEST_TIMEOUT_S": "3600",
        "PODIUM_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-c", "from podium.cli import main; main()", "serve"]
    with (
        log.open("wb") as out,
        subprocess.Popen(  # noqa: S603 our own executable
            command, env=environment, stdout=out, stderr=out
        ) as process,
    ):
        server = Server(process, port)
        try:
            _wait_until_ready(server, log)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(server: Server, log: Path) -> None:
    end = monotonic() + START_S
    while monotonic() < end and server.process.poll() is None:
        try:
            if server.get("/readyz")[0] == 200:
                return
        except OSError:
            pass
        sleep(0.1)
    raise RuntimeError(f"podium serve did not become ready in {START_S} s:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
