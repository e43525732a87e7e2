"""The second look past the watches: complete after a start, deaf later."""

from typing import Any

from podium_operator.kinds import BY_NAME, Kind
from podium_operator.store import Store
from podium_operator.sweep import DEAF_AFTER_S, Sweep

SERVICE = BY_NAME["Service"]


def service(version: int) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "s", "uid": "u", "resourceVersion": str(version), "labels": {}}
    return {"kind": "Service", "metadata": metadata, "spec": {"version": version}}


class FakeLists:
    """Answers lists of metadata; after `steps` of them the watch has delivered what is listed."""

    def __init__(self, store: Store, *listed: tuple[str, str, str, int], steps: int | None = None) -> None:
        self.store, self.listed, self.steps, self.selectors = store, list(listed), steps, set[str]()

    async def list_metadata(self, kind: Kind, namespace: str | None, selector: str) -> list[Any]:
        self.selectors.add(selector)
        if self.steps is not None:
            self.steps -= 1
            if self.steps <= 0:
                for _, _, _, version in self.listed:
                    self.store.put(service(version))
        return self.listed


def sweep(lists: FakeLists, now: list[float]) -> Sweep:
    return Sweep(lists.store, lists, [SERVICE], [], clock=lambda: now[0])  # type: ignore[arg-type]


async def test_the_store_is_complete_once_the_watches_have_delivered_what_is_listed() -> None:
    store = Store()
    lists = FakeLists(store, ("s", "a", "u", 5), steps=3)
    await sweep(lists, [0.0]).until_complete()
    assert lists.steps == 0
    assert lists.selectors == {"podium.sh/reranker"}


async def test_what_went_while_nothing_was_watched_is_dropped_at_a_new_start() -> None:
    store = Store()
    store.put(service(5))
    await sweep(FakeLists(store), [0.0]).until_complete()
    assert store.behind("Service", None, []) == set()


async def test_a_watch_is_deaf_when_two_looks_apart_find_it_owing_the_same() -> None:
    store, now = Store(), [0.0]
    store.put(service(5))
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
