"""Faults of the API server: whatever it does, the end is the same, nothing twice, the metrics tell."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import OperatorProcess
from cluster.proxy import Faults, Proxy, status
from cluster.space import Space

OUTAGE_S = 180
"""Three minutes without an API server: longer than anything that the health page waits for."""
SPEC = {"replicas": 2, "networkPolicy": {"enabled": True}, "model": {"uri": "hf://org/model"}}


@pytest.fixture(scope="module")
def proxy(plane: ControlPlane) -> Iterator[Proxy]:
    with Proxy(plane) as running:
        yield running


@pytest.fixture(scope="module")
def behind(operator: OperatorProcess, proxy: Proxy) -> Iterator[OperatorProcess]:
    """The operator with the proxy between it and the API server."""
    operator.stop()
    settings = {**operator.settings, "PODIUM_OPERATOR_API_TIMEOUT_S": "2", "PODIUM_OPERATOR_SWEEP_S": "3"}
    with OperatorProcess(operator.plane, server=proxy.url, settings=settings) as process:
        yield process
    operator.start()


@pytest.fixture(autouse=True)
def mended(proxy: Proxy, behind: OperatorProcess) -> Iterator[None]:
    """Every test begins and ends without faults and with a running operator."""
    proxy.faults = Faults()
    yield
    proxy.faults = Faults(cut=proxy.faults.cut)
    if behind.process is None or behind.process.poll() is not None:
        behind.start()


def kinds(space: Space) -> set[str]:
    return {key.partition("/")[0] for key in space.versions()}


WANTED = {
    "rerankers", "serviceaccounts", "persistentvolumeclaims", "networkpolicies", "jobs", "services",
}  # fmt: skip


@pytest.mark.parametrize(
    "code", [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
)
def test_refused_writes_are_tried_again_until_they_are_taken(
    space: Space, proxy: Proxy, behind: OperatorProcess, code: tuple[int, str]
) -> None:
    proxy.faults = Faults(refuse=status(*code), times=6)
    before = behind.metric("podium_operator_api_requests_total", code=str(code[0]))
    space.rerank(**SPEC)
    wait_for("all children", lambda: kinds(space) == WANTED, timeout_s=60)
    space.settled()
    assert space.condition("Accepted")[0] == "True"
    assert behind.metric("podium_operator_api_requests_total", code=str(code[0])) - before >= 6
    made = Counter(proxy.faults.writes)
    assert max(made[write] for write in made if "/status" not in write[1]) == 1, "nothing is made twice"


def test_silence_is_waited_out_and_the_health_page_stays_good(
    space: Space, proxy: Proxy, behind: OperatorProcess
) -> None:
    proxy.faults = Faults(silent=True)
    space.rerank(**SPEC)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        assert behind.get("/healthz")[0] == 200
        time.sleep(1)
    proxy.faults = Faults(cut=1)
    wait_for("all children", lambda: kinds(space) == WANTED, timeout_s=90)
    assert behind.metric("podium_operator_api_requests_total", code="none") > 0


def test_an_api_server_that_takes_8_s_for_each_write_does_not_restart_the_operator(
    space: Space, proxy: Proxy, behind: OperatorProcess
) -> None:
    """SPEC takes six applies and a status, 56 s: more than a hanging look is given. The Lease is slow too."""
    before = dict(behind.settings)
    behind.restart(PODIUM_OPERATOR_API_TIMEOUT_S="10")
    proxy.faults = Faults(slow_s=8)
    space.rerank(**SPEC)
    end = time.monotonic() + 180
    while time.monotonic() < end and not space.condition("Accepted")[0]:
        assert behind.get("/healthz")[0] == 200
        time.sleep(0.5)
    assert space.condition("Accepted")[0] == "True"
    assert kinds(space) == WANTED
    proxy.faults = Faults()
    behind.settings.clear()
    behind.restart(**before)


def test_errors_on_everything_for_a_while_are_outlived(
    space: Space, proxy: Proxy, behind: OperatorProcess
) -> None:
    space.rerank(**SPEC)
    space.settled()
    every = ("GET", "PATCH", "POST", "DELETE")
    proxy.faults = Faults(refuse=status(500, "InternalError"), verbs=every, cut=proxy.faults.cut + 1)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert behind.get("/healthz")[0] == 200
        time.sleep(1)
    proxy.faults = Faults(cut=proxy.faults.cut)
    space.delete("services")
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=30)


def test_a_cut_watch_is_taken_up_again(space: Space, proxy: Proxy, behind: OperatorProcess) -> None:
    space.rerank(**SPEC)
    space.settled()
    proxy.faults.cut += 1
    space.delete("services")
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=15)


def test_what_went_while_a_watch_was_cut_is_found_gone_though_the_watch_begins_anew(
    space: Space, plane: ControlPlane, proxy: Proxy, behind: OperatorProcess
) -> None:
    """The watch begins with a new list, which does not say what is not there any more."""
    space.rerank(**SPEC)
    space.settled()
    proxy.faults = Faults(refuse=status(500, "InternalError"), verbs=("GET",), cut=proxy.faults.cut + 1)
    time.sleep(1)
    space.delete("services")
    latest = int(plane.get(space.path("services"))["metadata"]["resourceVersion"])
    proxy.faults = Faults(cut=proxy.faults.cut, expired_before=latest)
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=30)
    assert behind.get("/healthz")[0] == 200


def test_a_watch_that_goes_silent_turns_the_health_page_within_three_minutes(
    space: Space, proxy: Proxy, behind: OperatorProcess
) -> None:
    space.rerank(**SPEC)
    space.settled()
    assert behind.get("/healthz")[0] == 200
    proxy.faults.deaf = True
    space.delete("services")
    """A live one has a bookmark about once a minute, however quiet the cluster is."""
    wait_for("bad health", lambda: behind.get("/healthz")[0] == 503, timeout_s=180)
    assert "the watch is silent for" in behind.get("/healthz")[1]
    assert "Service" in behind.get("/healthz")[1]
    proxy.faults.deaf = False
    behind.restart()
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=15)
    assert behind.get("/healthz")[0] == 200


def test_killed_after_each_single_write_it_comes_to_the_same_end(
    space: Space, proxy: Proxy, behind: OperatorProcess
) -> None:
    """SPEC takes six children and a status: seven lives, each ends after its first write."""

    def kill(_: int) -> None:
        if behind.process is not None:
            behind.process.kill()

    proxy.faults = Faults(after_write=kill)
    space.rerank(**SPEC)
    for life in range(1, 8):
        wait_for(f"death {life}", lambda: behind.process.poll() is not None, timeout_s=30)  # type: ignore[union-attr]
        assert len(proxy.faults.writes) >= life
        if life == 7:
            proxy.faults.after_write = None
        behind.start(wait=False)
    wait_for("all children", lambda: kinds(space) == WANTED, timeout_s=30)
    wait_for("ready", lambda: behind.get("/readyz")[0] == 200)
    space.settled()
    made = Counter(
        write for write in proxy.faults.writes if "/status" not in write[1] and "/events" not in write[1]
    )
    assert len(made) == 6
    assert set(made.values()) == {1}, "nothing is made twice"


def test_an_absent_api_server_leaves_health_good_and_is_met_again(
    space: Space, plane: ControlPlane, behind: OperatorProcess
) -> None:
    space.rerank(**SPEC)
    space.settled()
    plane.stop("kube-apiserver", kill=True)
    end = time.monotonic() + OUTAGE_S
    while time.monotonic() < end:
        assert behind.get("/healthz")[0] == 200
        time.sleep(1)
    plane.start_apiserver()
    space.delete("services")
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=30)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert behind.get("/healthz")[0] == 200
        time.sleep(1)
