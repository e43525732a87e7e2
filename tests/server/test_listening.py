"""Where the service listens, and how long: addresses of both families, and connections at rest."""

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterator

import pytest
from fakes import FakeModel
from serving import request, serving

from podium.server import app
from podium.server.state import Phase
from podium.settings import SettingError, Settings


def reached(listening: socket.socket, address: str) -> bool:
    try:
        socket.create_connection((address, listening.getsockname()[1]), 5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"the machine has no IPv6 ({error}); boot with ipv6.disable=0")


@pytest.fixture
def listening(host: str, ipv6: None) -> Iterator[socket.socket]:
    with app._bind(host, 0) as bound:
        bound.listen()
        yield bound


@pytest.mark.parametrize("host", [Settings().host, "::", "[::]"])
def test_by_default_both_families_are_heard(listening):
    assert reached(listening, "::1")
    assert reached(listening, "127.0.0.1")


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_taken_with_brackets_and_without(listening):
    assert reached(listening, "::1")
    assert not reached(listening, "127.0.0.1")


class NoIPv6(socket.socket):
    """A socket of a machine that has IPv4 alone."""

    stage, number = "socket", errno.EAFNOSUPPORT

    def __init__(self, family: int = -1, *more: int, **named: object) -> None:
        if self.stage == "socket" and family == socket.AF_INET6:
            raise OSError(self.number, "no IPv6")
        super().__init__(family, *more, **named)

    def bind(self, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(self.number, "no IPv6")
        super().bind(address)


@pytest.mark.parametrize(("stage", "number"), [("socket", errno.EAFNOSUPPORT), ("bind", errno.EADDRNOTAVAIL)])
def test_without_ipv6_the_default_is_ipv4(monkeypatch, stage, number):
    machine = type("Machine", (NoIPv6,), {"stage": stage, "number": number})
    monkeypatch.setattr(app.socket, "socket", machine)
    with app._bind(Settings().host, 0) as bound:
        assert bound.getsockname()[0] == "0.0.0.0"


def test_a_port_that_is_taken_is_no_reason_to_listen_to_ipv4_alone(monkeypatch):
    machine = type("Machine", (NoIPv6,), {"stage": "bind", "number": errno.EADDRINUSE})
    monkeypatch.setattr(app.socket, "socket", machine)
    with pytest.raises(SettingError, match=r"cannot listen on \[::\]:8080"):
        app._bind("::", 8080)


def test_a_connection_at_rest_is_closed_after_keep_alive_timeout_s():
    with serving(FakeModel(), keep_alive_timeout_s=0.3) as server, server.client() as client:
        for _ in range(2):
            assert client.post("/v2/rerank", {"query": "q", "documents": ["score=1"]}).status == 200
        assert client.closed()


@pytest.mark.parametrize("left", [pytest.param(0, id="whole"), pytest.param(900, id="a body that was left")])
@pytest.mark.parametrize("pause_s", [pytest.param(9, id="once"), pytest.param(0.05, id="again and again")])
def test_line_ends_after_a_request_keep_no_connection_open(left, pause_s):
    raw = request("POST", "/v2/rerank", b"x" * 1_000)
    limits = {"keep_alive_timeout_s": 0.3, "max_body_bytes": 100}
    with serving(FakeModel(), **limits) as server, server.client() as client:
        client.send(raw[: len(raw) - left])
        assert client.receive().status == 413
        client.send(raw[len(raw) - left :] + b"\r\n")
        end = time.monotonic() + 9
        with contextlib.suppress(ConnectionError):
            while not select.select([client.sock], [], [], pause_s)[0]:
                assert time.monotonic() < end
                client.send(b"\r\n")


def test_a_connection_rests_longer_than_those_of_usual_clients_and_balancers():
    assert Settings().keep_alive_timeout_s == 620


def test_while_draining_each_connection_ends_with_its_next_answer():
    with serving(FakeModel()) as server, server.client() as client:
        assert "connection" not in client.get("/readyz").headers
        server.on_loop(lambda: setattr(server.service, "phase", Phase.DRAINING))
        client.send(request("GET", "/readyz", None))
        assert client.receive().headers["connection"] == "close"
        assert client.closed()
