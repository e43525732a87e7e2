"""The operator at scale: `python tests/cluster/bench_operator.py`, with KUBEBUILDER_ASSETS set.

etcd, API server and controller manager, no node. First a bare loop sends the applies of 1,000 Rerankers, of
their children and of their statuses; then the same Rerankers are applied and the operator does the rest; then
two idle minutes, then a restart. Prints a table beside the goals, after some six minutes.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from cluster.bare_loop import applies, in_flight, resources  # noqa: E402
from cluster.conftest import ADDONS, addon_crd, install  # noqa: E402
from cluster.harness import ControlPlane, assets, wait_for  # noqa: E402
from cluster.operator_process import AUDIT_USER, OperatorProcess, grant  # noqa: E402
from cluster.space import CHILDREN, Space  # noqa: E402

STEPS = 6


def newest(space: Space) -> tuple[int, ...]:
    """Return the newest version of each kind of child."""
    found = []
    for plural in CHILDREN:
        items = space.plane.request("GET", space.path(plural))["items"]
        found.append(max((int(item["metadata"]["resourceVersion"]) for item in items), default=0))
    return tuple(found)


def clear(space: Space) -> None:
    """Delete everything, so that both begin alone: 500 autoscalers without metrics keep a controller busy."""
    for plural in ("rerankers", *CHILDREN):
        # a thousand of a kind in one request
        space.plane.request("DELETE", space.path(plural), {"propagationPolicy": "Background"}, timeout_s=300)
    wait_for("an empty namespace", lambda: not any(map(space.list, (*CHILDREN[1:], "pods"))), timeout_s=300)


def until_quiet(space: Space, quiet_s: float) -> float:
    """Wait until no child has changed for that long; return when the last change was seen."""
    last, since = newest(space), time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(5)
        now = newest(space)
        if now != last:
            last, since = now, time.monotonic()
    return since


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def peak_mb(pid: int) -> float:
    """Return the largest resident memory of a process so far, in 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def requests(plane: ControlPlane, since: int) -> Counter[str]:
    """Return the operator's requests by verb and resource, reads of lists and watches apart."""
    found: Counter[str] = Counter()
    for entry in plane.audit(since):
        if entry["user"]["username"] == AUDIT_USER:
            reference = entry.get("objectRef", {})
            what = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
            found[f"{entry['verb']} {what}"] += 1
    return found


def all_made(plane: ControlPlane, since: int, number: int) -> datetime:
    """Return when the operator had applied the last of so many children and statuses for the first time."""
    first: dict[tuple[str, ...], str] = {}
    for entry in plane.audit(since):
        if entry["user"]["username"] == AUDIT_USER and entry["verb"] == "patch":
            reference = entry["objectRef"]
            what = (reference["resource"], reference.get("subresource", ""), reference["name"])
            first.setdefault(what, entry["stageTimestamp"])
    assert len(first) == number, f"{len(first)} children and statuses were applied, not {number}"
    return datetime.fromisoformat(max(first.values()))


def writes(found: Counter[str]) -> int:
    """Return how many of these requests write, the Lease apart."""
    verbs = ("create", "update", "patch", "delete")
    return sum(
        number for what, number in found.items() if what.split()[0] in verbs and not what.endswith(" leases")
    )


def measure(
    plane: ControlPlane, number: int, idle_s: float, step: Callable[[str], None]
) -> list[tuple[str, str, str]]:
    """Return rows of what, measured, to be reached; call `step` with what begins."""
    step("bare loop")
    bare, bench = Space.make(plane, "bare"), Space.make(plane, "bench")
    start = time.monotonic()
    bare_s = asyncio.run(in_flight(plane, resources(bare, number)))
    documents, statuses = applies(bare)
    bare_s += asyncio.run(in_flight(plane, documents))
    bare_s += asyncio.run(in_flight(plane, statuses))
    step("until the bare loop's children rest")
    bare_rest_s = until_quiet(bare, 30) - start
    clear(bare)
    children = len(documents) / number

    step("operator")
    grant(plane, namespaces=(bench.name,))
    operator = OperatorProcess(plane, settings={"PODIUM_OPERATOR_NAMESPACES": bench.name})
    with operator:
        assert operator.process is not None
        pid, since = operator.process.pid, plane.audit_log.stat().st_size
        cpu = cpu_s(pid)
        start, began = time.monotonic(), datetime.now(UTC)
        asyncio.run(in_flight(plane, resources(bench, number)))
        unhealthy = 0

        def complete() -> bool:
            nonlocal unhealthy
            unhealthy += operator.get("/healthz")[0] != 200
            return operator.metric("podium_operator_writes_total", what="status") >= number

        wait_for("all statuses", complete, timeout_s=1200, every_s=5)
        cpu = cpu_s(pid) - cpu
        step("until the operator's children rest")
        rest_s = until_quiet(bench, 30) - start
        wall_s = (all_made(plane, since, len(documents) + number) - began).total_seconds()
        made, memory, settled_cpu = requests(plane, since), peak_mb(pid), cpu_s(pid)
        step("idle")
        since = plane.audit_log.stat().st_size
        time.sleep(idle_s)
        idle, idle_cpu = writes(requests(plane, since)), cpu_s(pid) - settled_cpu
        assert all(item["status"]["observedGeneration"] == 1 for item in bench.list("rerankers"))
    per = writes(made) - made["create events"]
    step("restart")
    since = plane.audit_log.stat().st_size
    start = time.monotonic()
    with operator:
        assert operator.process is not None
        wait_for("first look", lambda: operator.metric("podium_operator_reconciles_total") > 0, timeout_s=300)
        first_s = time.monotonic() - start
        wait_for(
            "all looks", lambda: operator.metric("podium_operator_reconciles_total") >= number, timeout_s=600
        )
        time.sleep(5)
        again, restart_memory = writes(requests(plane, since)), peak_mb(operator.process.pid)
    return [
        ("bare loop, the same applies, seconds", f"{bare_s:.1f}", ""),
        ("bare loop, until the controllers rest too, seconds", f"{bare_rest_s:.0f}", ""),
        ("children per Reranker", f"{children:.1f}", ""),
        ("operator, seconds", f"{wall_s:.1f}", f"<= {1.5 * bare_s:.1f} (1.5 times the bare loop)"),
        ("operator, until the controllers rest too, seconds", f"{rest_s:.0f}", ""),
        ("operator, looks at /healthz that were bad", str(unhealthy), "0"),
        ("operator, CPU seconds", f"{cpu:.1f}", "<= 40"),
        (
            "requests per Reranker, Events apart",
            f"{per / number:.2f}",
            f"<= {children + 2:.1f} (children + 2)",
        ),
        ("Events per Reranker", f"{made['create events'] / number:.2f}", ""),
        ("peak memory, MB", f"{memory:.0f}", "<= 200"),
        (f"writes in {idle_s:.0f} idle seconds", str(idle), "0"),
        (f"CPU seconds in {idle_s:.0f} idle seconds", f"{idle_cpu:.1f}", ""),
        ("restart: seconds to the first look", f"{first_s:.1f}", "<= 20"),
        ("restart: writes", str(again), "0"),
        ("restart: peak memory, MB", f"{restart_memory:.0f}", "<= 200"),
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rerankers", type=int, default=1000)
    parser.add_argument("--idle-s", type=float, default=120.0)
    options = parser.parse_args()
    programs = assets()
    if programs is None:
        sys.exit(
            "KUBEBUILDER_ASSETS must name a folder with etcd, kube-apiserver and kube-controller-manager"
        )
    with (
        Progress(console=Console(stderr=True)) as progress,
        tempfile.TemporaryDirectory() as folder,
        ControlPlane(Path(folder), programs) as plane,
    ):
        task = progress.add_task("control plane", total=STEPS)
        start = time.monotonic()

        def step(what: str) -> None:
            progress.console.print(f"{what}, after {time.monotonic() - start:.0f} s")
            progress.update(task, description=what, advance=1)

        install(plane, yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text()))
        for name in ADDONS:
            install(plane, addon_crd(name))
        plane.start_controller_manager()
        rows = measure(plane, options.rerankers, options.idle_s, step)
    table = Table("", "measured", "goal", title=f"{options.rerankers} Rerankers")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
