"""The second look past the watches: complete after a start, deaf later."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run.sweep import DEAF_AFTER_S, Sweep
from podium_operator.seen.kinds import BY_NAME, Kind
from podium_operator.seen.store import Key, Store

SERVICE = BY_NAME["Service"]


def service(version: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "a", "namespace": "s", "uid": "u", "resourceVersion": str(version)}
    metadata["labels"] = {OWNER_LABEL: "demo"}
    return {"kind": "Service", "metadata": metadata, "spec": {"version": version}}


class FakeLists:
    """Answers lists of metadata."""

    def __init__(self, store: Store, *listed: tuple[str, str, str, int]) -> None:
        self.store, self.listed, self.selectors = store, list(listed), set[str]()

    async def list_metadata(self, kind: Kind, namespace: str | None, selector: str) -> list[Any]:
        self.selectors.add(selector)
        return list(self.listed)


def sweep(lists: FakeLists, now: list[float], changed: Callable[[Key], None] = lambda _: None) -> Sweep:
    return Sweep(lists.store, lists, [SERVICE], [], changed=changed, clock=lambda: now[0])  # type: ignore[arg-type]


async def test_the_store_is_complete_once_the_watches_have_delivered_what_is_listed() -> None:
    store = Store()
    lists = FakeLists(store, ("s", "a", "u", 5))
    waiting = asyncio.create_task(sweep(lists, [0.0]).until_complete())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    store.put(service(5))
    await asyncio.wait_for(waiting, 5)
    assert lists.selectors == {"podium.sh/reranker"}


async def test_what_went_before_it_was_delivered_is_not_waited_for() -> None:
    store, now = Store(), [0.0]
    lists = FakeLists(store, ("s", "a", "u", 5))
    waiting = asyncio.create_task(sweep(lists, now).until_complete())
    await asyncio.sleep(0.01)
    lists.listed.clear()
    now[0] = 6.0
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    ("known", "watched"),
    [pytest.param(5, True, id="a-change-of-others"), pytest.param(6, False, id="what-was-applied")],
)
async def test_a_watch_is_deaf_when_two_looks_apart_find_it_owing_the_same(known: int, watched: bool) -> None:
    store, now = Store(), [0.0]
    store.put(service(known), watched=watched)
    lists = FakeLists(store, ("s", "a", "u", 6))
    looking = sweep(lists, now)
    await looking._look(SERVICE, None)
    now[0] = DEAF_AFTER_S + 1
    assert looking.deaf() == [], "one look proves nothing, however long ago"
    await looking._look(SERVICE, None)
    assert looking.deaf() == ["Service"]
    store.put(service(6))
    await looking._look(SERVICE, None)
    assert looking.deaf() == []


async def test_a_busy_watch_that_always_owes_something_else_is_not_deaf() -> None:
    store, now = Store(), [0.0]
    store.put(service(5))
    lists = FakeLists(store, ("s", "a", "u", 6))
    looking = sweep(lists, now)
    for step in range(4):
        now[0] = step * (DEAF_AFTER_S + 1)
        lists.listed = [("s", "a", "u", 6 + step)]
        await looking._look(SERVICE, None)
        assert looking.deaf() == []


async def test_what_is_listed_no_more_is_dropped_and_its_reranker_looked_at() -> None:
    store, changed = Store(), list[Key]()
    store.put(service(5))
    looking = sweep(FakeLists(store), [0.0], changed.append)
    await looking._look(SERVICE, None)
    assert changed == [("s", "demo")]
    assert store.observe(("s", "demo")).children == {}
    assert looking.deaf() == []


async def test_what_is_made_while_the_list_is_on_its_way_is_kept() -> None:
    store, changed = Store(), list[Key]()
    lists = FakeLists(store)

    async def list_metadata(*_: object) -> list[Any]:
        store.put(service(5))
        return []

    lists.list_metadata = list_metadata  # type: ignore[method-assign]
    await sweep(lists, [0.0], changed.append)._look(SERVICE, None)
    assert changed == []
    assert set(store.observe(("s", "demo")).children) == {("Service", "a")}


async def test_a_watch_that_delivers_is_listed_behind_only_once_a_minute() -> None:
    store, now, changed = Store(), [0.0], list[Key]()
    lists = FakeLists(store)
    looking = sweep(lists, now, changed.append)
    await looking._look(SERVICE, None)
    for step in range(1, 5):
        now[0] = step * 15.0
        store.put(service(step))
        await looking._look(SERVICE, None)
        assert changed == ([] if step < 4 else [("s", "demo")]), f"listed after {now[0]:.0f} s"


async def test_a_watch_that_falls_silent_after_it_delivered_is_deaf_within_three_looks() -> None:
    store, now = Store(), [0.0]
    lists = FakeLists(store, ("s", "a", "u", 6))
    looking = sweep(lists, now)
    await looking._look(SERVICE, None)
    store.put(service(5))
    for step in range(1, 4):
        now[0] = step * 15.0
        assert looking.deaf() == []
        await looking._look(SERVICE, None)
    assert looking.deaf() == ["Service"]
