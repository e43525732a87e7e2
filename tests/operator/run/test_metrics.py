"""Every metric of the operator stands in the documents, with its labels."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.metrics import MetricWrapperBase
from rerankers import HUB, NOW, SETTINGS, body, reranker, status_of

from podium_operator.run import metrics
from podium_operator.run.program import Program
from podium_operator.run.workqueue import WorkQueue

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_operations_lists_every_metric_by_the_name_that_it_is_scraped_under() -> None:
    described = [item.describe() for item in vars(metrics).values() if isinstance(item, MetricWrapperBase)]
    families = [family for found in [*described, metrics.FLEET.collect()] for family in found]
    names = {family.name + "_total" * (family.type == "counter") for family in families}
    lines = OPERATIONS.read_text().splitlines()
    assert {line.split("`")[1] for line in lines if line.startswith("| `podium_")} == names


async def test_operations_names_the_labels_of_every_metric() -> None:
    rows = [
        line.split(" | ") for line in OPERATIONS.read_text().splitlines() if line.startswith("| `podium_")
    ]
    documented = {
        row[0].split("`")[1]: set(row[1].replace("`", " ").replace(",", " ").split()) for row in rows
    }
    metrics.FLEET.set(reranker(), status_of(body()))
    try:
        for family in metrics.REGISTRY.collect():
            for sample in family.samples:
                if sample.name in documented and sample.labels:
                    assert set(sample.labels) == documented[sample.name], sample.name
    finally:
        metrics.FLEET.forget("search", "demo")


def value(name: str, **labels: str) -> float | None:
    who = {"namespace": "search", "reranker": "demo"}
    return metrics.REGISTRY.get_sample_value(f"podium_operator_reranker_{name}", {**who, **labels})


async def test_a_reranker_is_told_of_from_its_first_look_to_its_end() -> None:
    scaled = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}, "model": {"uri": HUB, "revision": "main"}}
    metrics.FLEET.set(reranker(gpu={}, **scaled), status_of(body(gpu={}, **scaled)))
    assert value("condition", condition="Ready", status="Unknown") == 1
    assert value("reason", condition="CacheReady", reason="PVCPending") == 1
    assert value("condition_timestamp_seconds", condition="Ready") == NOW.timestamp()
    assert value("info", model=HUB, revision="", image="", gpu="nvidia.com/gpu") == 1
    claims = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]}
    metrics.FLEET.set(reranker(gpu=claims, **scaled), status_of(body(gpu=claims, **scaled)))
    assert value("info", model=HUB, revision="", image="", gpu="resourceClaims") == 1
    assert (value("desired_replicas"), value("ready_replicas"), value("max_replicas")) == (2, 0, 5)
    assert value("progress_deadline_seconds") == 900 * 1.2 + 60
    assert value("download_attempts") == 0
    metrics.FLEET.forget("search", "demo")
    assert value("desired_replicas") is None


async def test_who_leads_no_more_tells_of_no_reranker() -> None:
    """Another process does, and what this one knows grows old: two series would contradict each other."""
    program = Program(SETTINGS, cast(Any, None))
    metrics.FLEET.set(reranker(), status_of(body()))
    program._turned(leading=False)
    assert value("desired_replicas") is None


async def test_a_look_that_ends_after_the_lease_was_lost_tells_of_no_reranker() -> None:
    program = Program(SETTINGS, cast(Any, None))
    program._complete.set()
    program._leads = True

    async def look(key: tuple[str, str]) -> None:
        program._turned(leading=False)
        metrics.FLEET.set(reranker(), status_of(body()))

    program._reconciler = cast(Any, look)
    await program._work(("search", "demo"))
    assert value("desired_replicas") is None


@pytest.fixture
def collected_at_each_step() -> Iterator[list[Callable[[], None]]]:
    """Functions that run whenever the garbage collector does, which is at every chance."""
    meanwhile: list[Callable[[], None]] = []

    def call(phase: str, _: object) -> None:
        for each in meanwhile:
            each()

    before = gc.get_threshold()
    gc.callbacks.append(call)
    gc.set_threshold(1)
    yield meanwhile
    gc.callbacks.remove(call)
    gc.set_threshold(*before)


async def test_a_scrape_is_not_spoilt_by_a_look_meanwhile(
    collected_at_each_step: list[Callable[[], None]],
) -> None:
    fleet, seen, status, number = metrics.Fleet(), reranker(), status_of(body()), count()

    def look() -> None:
        fleet._known["search", f"demo-{next(number)}"] = seen, status, {}

    look()
    collected_at_each_step.append(look)
    assert list(fleet.collect())
    assert next(number) > 10, "it was scraped without one"


async def test_the_queue_is_counted_whatever_comes_meanwhile(
    collected_at_each_step: list[Callable[[], None]],
) -> None:
    number = count()
    queue = WorkQueue[str](lambda _: asyncio.sleep(0, None), on_error=lambda *_: None)

    def come() -> None:
        queue.add(f"demo-{next(number)}")

    for _ in range(100):
        come()
    collected_at_each_step.append(come)
    assert queue.depth() >= 100
    assert next(number) > 101, "it was counted without one"
