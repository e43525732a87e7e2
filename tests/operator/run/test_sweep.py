"""The second look past the watches: complete after a start; what is gone, and what was never delivered."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run import sweep as module
from podium_operator.run.cluster import ApiError, Unreachable
from podium_operator.run.sweep import Sweep
from podium_operator.seen.kinds import BY_NAME, Kind
from podium_operator.seen.store import Key, Store

SERVICE, JOB = BY_NAME["Service"], BY_NAME["Job"]


def service(version: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "a", "namespace": "s", "uid": "u", "resourceVersion": str(version)}
    metadata["labels"] = {OWNER_LABEL: "demo"}
    return {"kind": "Service", "metadata": metadata, "spec": {"version": version}}


class FakeLists:
    """Answers lists of metadata; stands for the cluster and for what hears the watches."""

    def __init__(self, *listed: tuple[str, str, str, int]) -> None:
        self.listed, self.selectors = list(listed), set[str]()
        self.asked: list[tuple[str, str | None, int]] = []
        self.fails: ApiError | Unreachable | None = None
        self.excused: list[Kind | None] = []
        self.lease_version, self.newest = 0, 1000
        self.left_out: set[str | None] = set()
        self.refused: set[str | None] = set()

    async def list_metadata(
        self, kind: Kind, namespace: str | None, selector: str, not_older_than: int
    ) -> list[Any]:
        self.selectors.add(selector)
        self.asked.append((kind.name, namespace, not_older_than))
        if self.fails:
            raise self.fails
        if namespace in self.refused:
            raise ApiError(403, f"services is forbidden in the namespace {namespace}")
        if not_older_than > self.newest:
            raise ApiError(504, f"Timeout: Too large resource version: {not_older_than}")
        return list(self.listed)

    def excuse(self, refused: Kind | None = None) -> None:
        self.excused.append(refused)

    def silent(self) -> list[str]:
        return []

    def take_back(self, namespace: str | None) -> None:
        self.left_out.discard(namespace)

    def quiet(self) -> set[str | None]:
        return set()


def sweep(
    store: Store,
    lists: FakeLists,
    changed: Callable[[Key], None] = lambda _: None,
    kinds: Sequence[Kind] = (SERVICE,),
    namespaces: Sequence[str] = (),
) -> Sweep:
    return Sweep(store, lists, lists, kinds, namespaces, changed=changed)  # type: ignore[arg-type]


async def test_the_store_is_complete_once_the_watches_have_delivered_what_is_listed() -> None:
    store, lists = Store(), FakeLists(("s", "a", "u", 5))
    waiting = asyncio.create_task(sweep(store, lists).until_complete())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    store.put(service(5))
    await asyncio.wait_for(waiting, 5)
    assert lists.selectors == {"podium.sh/reranker"}


async def test_what_went_before_it_was_delivered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIST_AGAIN_S", 0.1)
    lists = FakeLists(("s", "a", "u", 5))
    waiting = asyncio.create_task(sweep(Store(), lists).until_complete())
    await asyncio.sleep(0.01)
    lists.listed.clear()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    ("known", "watched"),
    [pytest.param(5, True, id="a-change-of-others"), pytest.param(6, False, id="what-was-applied")],
)
async def test_what_two_lists_apart_show_and_the_watch_did_not_deliver_is_lost(
    known: int, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, lists = Store(), FakeLists(("s", "a", "u", 6))
    store.put(service(known), watched=watched)
    looking = sweep(store, lists)
    await looking._look(SERVICE, None)
    await looking._look(SERVICE, None)
    assert looking.deaf() == [], "one right after the other proves nothing: a busy watch lags"
    monkeypatch.setattr(module, "_LOST_AFTER_S", 0.0)
    await looking._look(SERVICE, None)
    assert looking.deaf() == ["Service"]
    store.put(service(6))
    await looking._look(SERVICE, None)
    assert looking.deaf() == []


async def test_a_busy_watch_that_always_owes_something_else_has_lost_nothing() -> None:
    store, lists = Store(), FakeLists()
    store.put(service(5))
    looking = sweep(store, lists)
    for step in range(4):
        lists.listed = [("s", "a", "u", 6 + step)]
        await looking._look(SERVICE, None)
        assert looking.deaf() == []


async def test_what_is_listed_no_more_is_dropped_and_its_reranker_looked_at() -> None:
    store, changed = Store(), list[Key]()
    store.put(service(5))
    lists = FakeLists()
    await sweep(store, lists, changed.append)._look(SERVICE, None)
    assert changed == [("s", "demo")]
    assert store.observe(("s", "demo")).children == {}
    assert lists.asked == [("Service", None, 5)], "a list from an old cache would miss what is known"


async def test_a_list_is_as_new_as_the_lease_so_that_quiet_watches_get_bookmarks() -> None:
    store, lists = Store(), FakeLists(("s", "a", "u", 5))
    store.put(service(5))
    looking = sweep(store, lists)
    lists.lease_version = 9
    await looking._look(SERVICE, None)
    assert lists.asked == [("Service", None, 9)]


async def test_an_api_server_that_does_not_ask_etcd_is_asked_for_what_is_known() -> None:
    store, lists = Store(), FakeLists(("s", "a", "u", 5))
    store.put(service(5))
    lists.lease_version, lists.newest = 9, 7
    looking = sweep(store, lists)
    await looking._look(SERVICE, None)
    await looking._look(SERVICE, None)
    assert [version for _, _, version in lists.asked] == [9, 5, 5], "it is not made to wait in vain again"
    assert looking.deaf() == []
    assert lists.excused == []


async def test_what_is_made_while_the_list_is_on_its_way_is_kept() -> None:
    store, changed, lists = Store(), list[Key](), FakeLists()

    async def list_metadata(*_: object) -> list[Any]:
        store.put(service(5))
        return []

    lists.list_metadata = list_metadata  # type: ignore[method-assign]
    await sweep(store, lists, changed.append)._look(SERVICE, None)
    assert changed == []
    assert set(store.observe(("s", "demo")).children) == {("Service", "a")}


async def test_each_kind_is_listed_once_a_period_in_one_namespace_after_the_other() -> None:
    lists = FakeLists()
    looking = sweep(Store(), lists, kinds=(SERVICE, JOB), namespaces=("x", "y"))
    running = asyncio.create_task(looking.run(0.04))
    while len(lists.asked) < 6:
        await asyncio.sleep(0.01)
    running.cancel()
    assert [(kind, space) for kind, space, _ in lists.asked[:6]] == [
        ("Service", "x"), ("Job", "x"), ("Service", "y"), ("Job", "y"), ("Service", "x"), ("Job", "x"),
    ]  # fmt: skip


async def test_lists_that_take_their_time_do_not_slow_the_pace_by_which_watches_have_bookmarks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, began = [0.0], list[float]()

    async def pass_by(seconds: float) -> None:
        now[0] += seconds
        if len(began) == 8:
            raise asyncio.CancelledError

    async def take_time(*_: object) -> list[Any]:
        began.append(now[0])
        now[0] += 25.0 if len(began) == 5 else 3.0
        return []

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=pass_by))
    lists = FakeLists()
    lists.list_metadata = take_time  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await sweep(Store(), lists, kinds=(SERVICE, JOB)).run(20.0)
    assert began == [10.0, 20.0, 30.0, 40.0, 50.0, 75.0, 85.0, 95.0], "and none is made up for in a burst"


@pytest.mark.parametrize(
    ("error", "excused"),
    [
        pytest.param(Unreachable("no"), None, id="no-answer"),
        pytest.param(ApiError(403, "no"), SERVICE, id="a-refusal"),
    ],
)
async def test_without_an_answer_nothing_is_said_about_the_watches_and_without_a_list_of_its_own(
    error: ApiError | Unreachable, excused: Kind | None
) -> None:
    store, lists = Store(), FakeLists()
    lists.fails = error
    running = asyncio.create_task(sweep(store, lists).run(0.02))
    while len(lists.excused) < 2:
        await asyncio.sleep(0.01)
    running.cancel()
    assert set(lists.excused) == {excused}


async def test_an_api_server_that_went_back_in_time_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its etcd was restored: what it tells from then on has lower versions than what the store has."""
    store, lists = Store(), FakeLists()
    store.put(service(500))
    lists.fails = ApiError(504, "Timeout: Too large resource version: 500, current: 260")
    looking = sweep(store, lists)
    monkeypatch.setattr(module, "_LOST_AFTER_S", 0.0)
    running = asyncio.create_task(looking.run(0.01))
    while len(lists.asked) < 2:
        await asyncio.sleep(0.001)
    assert looking.deaf() == [], "a busy API server lags behind itself"
    lists.fails = Unreachable("away")  # after that nothing is known of before
    while len(lists.asked) < 4:
        await asyncio.sleep(0.001)
    lists.fails = ApiError(504, "Timeout: Too large resource version: 500, current: 260")
    while not looking.deaf():
        await asyncio.sleep(0.001)
    assert len(lists.asked) >= 7
    assert looking.deaf() == ["Service"]
    lists.fails = None
    while looking.deaf():
        await asyncio.sleep(0.001)
    running.cancel()


async def test_a_namespace_that_is_refused_is_left_out_and_taken_back_and_the_others_go_on() -> None:
    store, lists, changed = Store(), FakeLists(), list[Key]()
    store.put(
        {"kind": "Reranker", "metadata": {"name": "r", "namespace": "b", "uid": "r", "resourceVersion": "3"}}
    )
    looking = sweep(store, lists, changed.append, namespaces=("a", "b"))
    lists.refused = {"b"}
    await asyncio.wait_for(looking.until_complete(), 5)
    assert (looking.leaves_out("a"), looking.leaves_out("b"), looking.sees_nothing) == (False, True, False)
    assert changed == [("b", "r")], "what is told of it is told no longer"
    running = asyncio.create_task(looking.run(0.01))
    lists.refused = set()
    async with asyncio.timeout(5):
        while looking.leaves_out("b"):
            await asyncio.sleep(0.01)
    running.cancel()
    assert changed == [("b", "r")] * 2
    assert lists.excused == []


async def test_where_everything_is_watched_a_refused_list_is_no_namespace_that_is_gone() -> None:
    lists = FakeLists()
    lists.refused = {None}
    with pytest.raises(ApiError):
        await sweep(Store(), lists).until_complete()
