"""What an idle operator of many namespaces asks of the API server."""

import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from cluster.harness import ControlPlane
from cluster.operator_process import ACCOUNT_NAMESPACE, OperatorProcess, grant
from cluster.space import Space

NAMESPACES, IDLE_S = 50, 150
LIST_AGAIN_S = 45
KINDS = 10


@pytest.fixture
def many(plane: ControlPlane, operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """An operator of 50 namespaces with a Reranker in each; no other runs meanwhile."""
    operator.stop()
    spaces = [Space.make(plane, f"many-{number}") for number in range(NAMESPACES)]
    names = tuple(space.name for space in spaces)
    user = grant(plane, namespaces=names, account="many")
    for space in spaces:
        space.rerank()
    settings = {"PODIUM_OPERATOR_NAMESPACES": ",".join(names)}
    with OperatorProcess(plane, user=user, settings=settings) as process:
        for space in spaces:
            space.wait("deployments", timeout_s=60)
        yield process
    for space in spaces:
        space.delete("rerankers")
    operator.start()


def etcd_lists(plane: ControlPlane) -> float:
    """Return how many lists of our kinds the API server has had from etcd, but those by which it compares its
    watch cache with etcd every few minutes.
    """
    counted = {"etcd_request_duration_seconds_count": 1, "apiserver_storage_consistency_checks_total": -1}
    lists = 0.0
    for line in plane.request("GET", "/metrics").splitlines():
        name, _, rest = line.partition("{")
        ours = any(kind in rest for kind in ("rerankers", "networkpolicies", "poddisruptionbudgets"))
        if ours and name in counted and ('operation="list"' in rest or 'operation="' not in rest):
            lists += counted[name] * float(line.rpartition(" ")[2])
    return lists


def test_idle_it_asks_less_than_once_a_second_and_lists_come_from_the_watch_cache(
    plane: ControlPlane, many: OperatorProcess
) -> None:
    time.sleep(30)
    since, from_etcd = plane.audit_log.stat().st_size, etcd_lists(plane)
    start = time.monotonic()
    time.sleep(IDLE_S)
    elapsed_s = time.monotonic() - start
    found: Counter[str] = Counter()
    for entry in plane.audit(since):
        reference = entry.get("objectRef", {})
        if (
            entry["user"]["username"] != f"system:serviceaccount:{ACCOUNT_NAMESPACE}:many"
            or reference.get("resource") == "leases"
            or (entry["verb"], entry["stage"]) == ("watch", "ResponseComplete")  # its begin is counted
        ):
            continue
        found[f"{entry['verb']} {reference.get('resource', entry['requestURI'])}"] += 1
        if entry["verb"] == "list":
            query = parse_qs(urlsplit(entry["requestURI"]).query)
            assert query["resourceVersionMatch"] == ["NotOlderThan"]
            assert "limit" not in query
    begun = {what: number for what, number in found.items() if what.startswith("watch")}
    assert not begun, "quiet watches are heard by bookmarks"
    assert sum(found.values()) / elapsed_s < 1, found
    lists_of = {what: number for what, number in found.items() if what.startswith("list")}
    assert all(number <= IDLE_S / LIST_AGAIN_S + 1 for number in lists_of.values()), found
    assert sum(lists_of.values()) >= KINDS
    assert etcd_lists(plane) == from_etcd
    assert many.get("/healthz") == (200, "ok"), "quiet watches are heard by their bookmarks"
