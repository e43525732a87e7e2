"""Processes that are told to end: what callers see, and exit codes. The built-in model in a real process."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from serving import Answer, Client, request, until

from podium.server.app import serve
from podium.settings import SettingError, Settings

SERVE = """
import os
from podium.server.app import serve
from podium.settings import Settings, from_environment
serve(Settings.from_strings(from_environment(os.environ)))
"""
SLOW = """
import time
from podium.server import app
load = app.load_model
def slowly(settings):
    time.sleep(60)
    return load(settings)
app.load_model = slowly
"""
TEXT = "The giant panda lives on bamboo in the mountains of China, and sleeps for half of the day. " * 4
END_S = 60


class Process:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def client(self) -> Client:
        return Client(self.port)

    def status(self, path: str) -> int:
        with self.client() as client:
            return client.get(path).status

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        return self.process.wait(END_S)


@contextlib.contextmanager
def process(program: str = SERVE, **settings: object) -> Iterator[Process]:
    environment = {f"PODIUM_{name.upper()}": str(value) for name, value in settings.items()}
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PODIUM_HOST": "127.0.0.1",
            "PODIUM_PORT": "0",
            "PODIUM_LOG_FORMAT": "json",
            **environment,
        },
    )
    log: list[bytes] = []
    try:
        port = None
        while port is None:
            line = running.stderr.readline()
            assert line, b"".join(log).decode()
            log.append(line)
            found = re.search(rb"listening on http://[^:]+:(\d+)", line)
            port = int(found[1]) if found else None
        reader = threading.Thread(target=lambda: log.extend(running.stderr), daemon=True)
        reader.start()
        yield Process(running, port)
    finally:
        running.kill()
        running.wait()
        reader.join()
        running.stderr.close()
        print(b"".join(log).decode()[-4000:])


def documents(number: int, count: int = 100) -> list[str]:
    return [f"{number} {n} {TEXT}" for n in range(count)]


class Load(threading.Thread):
    """One caller's requests, without pause, until one of them is not answered with 200."""

    def __init__(self, port: int, number: int, path: str) -> None:
        super().__init__()
        self.port, self.number, self.path = port, number, path
        self.answers: list[Answer] = []
        self.broken: Exception | None = None

    def run(self) -> None:
        key = "texts" if self.path == "/rerank" else "documents"
        try:
            while not self.answers or self.answers[-1].status == 200:
                asked = {"query": "panda", key: documents(self.number * 1000 + len(self.answers), 5)}
                with Client(self.port) as client:
                    self.answers.append(client.post(self.path, asked))
        except (OSError, ValueError) as error:
            self.broken = error


def test_under_load_what_was_admitted_is_answered_and_the_rest_is_sent_elsewhere():
    with process(drain_timeout_s=60) as podium:
        admitted = [podium.client() for _ in range(4)]
        loads = [Load(podium.port, n, "/rerank" if n % 2 else "/v2/rerank") for n in range(6)]
        for load in loads:
            load.start()
        for number, client in enumerate(admitted):
            client.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents(number, 60)}))
        until(lambda: queue(podium) > 120)
        podium.terminate()
        until(lambda: podium.status("/readyz") == 503)
        assert podium.status("/livez") == 200
        with podium.client() as client:
            answer = client.post("/rerank", {"query": "q", "texts": ["new"]})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert set(answer.body) == {"error", "error_type"}
        assert answer.headers["connection"] == "close"
        for client in admitted:
            assert client.receive().status == 200
            client.close()
        for load in loads:
            load.join(END_S)
            assert load.broken is None
            assert load.answers[-1].status == 503
            assert "retry-after" in load.answers[-1].headers
        assert podium.ended() == 0


class NewConnections(threading.Thread):
    """One caller's requests, each on a connection of its own, until nobody listens any more."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.statuses: list[int] = []
        self.broken: Exception | None = None

    def run(self) -> None:
        try:
            while (client := connect(self.port)) is not None:
                with client:
                    self.statuses.append(client.post("/rerank", {"query": "q", "texts": ["x"]}).status)
        except (OSError, ValueError) as error:
            self.broken = error


def connect(port: int) -> Client | None:
    try:
        return Client(port)
    except ConnectionRefusedError:
        return None


def test_until_the_socket_closes_every_caller_who_could_connect_is_answered():
    with process(drain_timeout_s=60) as podium, podium.client() as admitted:
        callers = [NewConnections(podium.port) for _ in range(32)]
        for caller in callers:
            caller.start()
        admitted.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents(1, 300)}))
        until(lambda: queue(podium) > 120)
        podium.terminate()
        for caller in callers:
            caller.join(END_S)
            assert caller.broken is None
            assert set(caller.statuses) == {200, 503}
        assert admitted.receive().status == 200
        assert podium.ended() == 0


def test_who_connected_in_advance_can_still_ask_when_the_socket_has_closed():
    with process() as podium, podium.client() as early:
        podium.terminate()
        until(lambda: connect(podium.port) is None)
        answer = early.post("/rerank", {"query": "q", "texts": ["x"]})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert podium.ended() == 0


def queue(podium: Process) -> float:
    with podium.client() as client:
        found = re.search(rb"^podium_queue_pairs (\S+)", client.get("/metrics").raw, re.MULTILINE)
    return float(found[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_at_once_and_well(number):
    with process() as podium, podium.client() as idle:
        assert idle.get("/readyz").status == 200
        podium.process.send_signal(number)
        assert podium.ended() == 0
        assert idle.closed()


def test_what_is_not_scored_within_drain_timeout_s_is_answered_503():
    with process(drain_timeout_s=0.2) as podium, podium.client() as client:
        client.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents(1, 9_000)}))
        until(lambda: queue(podium) > 4_000)
        podium.terminate()
        answer = client.receive()
        assert answer.status == 503
        assert answer.body["message"] == "the server shut down before the request was scored"
        assert podium.ended() == 0


def test_a_second_signal_ends_the_wait():
    with process(drain_timeout_s=600) as podium, podium.client() as client:
        client.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents(1, 9_000)}))
        until(lambda: queue(podium) > 4_000)
        podium.terminate()
        until(lambda: podium.status("/readyz") == 503)
        podium.terminate()
        assert client.receive().status == 503
        assert podium.ended() == 0


def test_a_body_that_is_still_on_its_way_is_answered_503():
    with process() as podium, podium.client() as client:
        raw = request("POST", "/rerank", {"query": "q", "texts": documents(1)})
        client.send(raw[:-10])
        until(lambda: podium.status("/readyz") == 200)
        podium.terminate()
        answer = client.receive()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert podium.ended() == 0


def test_a_process_that_still_loads_ends_at_once_and_well():
    started = time.monotonic()
    with process(SLOW + SERVE, preload="false") as podium:
        assert podium.status("/readyz") == 503
        assert podium.status("/livez") == 200
        podium.terminate()
        assert podium.ended() == 0
    assert time.monotonic() - started < 60


def test_a_process_whose_port_is_not_open_yet_ends_at_once_and_well():
    program = SLOW.replace("def slowly(settings):", "def slowly(settings):\n    print('loading', flush=True)")
    running = subprocess.Popen(
        [sys.executable, "-c", program + SERVE],
        stdout=subprocess.PIPE,
        env={**os.environ, "PODIUM_HOST": "127.0.0.1", "PODIUM_PORT": "0"},
    )
    with running:
        assert running.stdout.readline() == b"loading\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(END_S) == 0


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            serve(Settings(host="127.0.0.1", port=port))


def test_a_port_that_is_taken_while_the_model_loads_is_named(monkeypatch):
    from podium.server import app

    taken: list[socket.socket] = []

    def load(settings: Settings) -> None:
        other = socket.socket()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", settings.port))
        other.listen()
        taken.append(other)
        return original(settings)

    original = app.load_model
    monkeypatch.setattr(app, "load_model", load)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SettingError, match=f"cannot listen on 127.0.0.1:{port}"):
        serve(Settings(host="127.0.0.1", port=port))
    taken[0].close()


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(
        SettingError, match=r"cannot listen on no\.such\.host\.invalid:0: Name or service not known"
    ):
        serve(Settings(host="no.such.host.invalid", port=0))
