"""Every line of kopf's watches is heard, bookmarks too, in the function that kopf looks up to watch."""

import inspect
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from kopf._cogs.clients import watching
from kopf._core.reactor import queueing

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run import hearing as module
from podium_operator.run.hearing import DEAF_AFTER_S, RESTART_AFTER_S, Hearing
from podium_operator.run.watches import watch_settings
from podium_operator.seen.kinds import BY_NAME
from podium_operator.seen.store import Key, Store

SERVICE, JOB = BY_NAME["Service"], BY_NAME["Job"]
RESOURCE = SimpleNamespace(group="", plural="services")
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}


def service(name: str, version: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "s", "uid": name, "resourceVersion": str(version)}
    return {"kind": "Service", "metadata": {**metadata, "labels": {OWNER_LABEL: name}}, "spec": {}}


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What kopf's own function yields."""
    events: list[Any] = []

    async def infinite_watch(**_: Any) -> AsyncIterator[Any]:
        for event in events:
            yield event

    monkeypatch.setattr(module, "_kopfs_own", infinite_watch)
    monkeypatch.setattr(watching, "infinite_watch", watching.infinite_watch)
    return events


async def handed_on(namespace: str | None = None) -> list[Any]:
    """Watch as kopf does, and return what it gets."""
    return [event async for event in watching.infinite_watch(resource=RESOURCE, namespace=namespace)]  # type: ignore[arg-type]


def test_kopf_looks_the_function_up_when_it_begins_to_watch_and_drops_bookmarks_after_it() -> None:
    source = inspect.getsource(queueing.watcher)
    assert "watching.infinite_watch(" in source
    assert "== 'BOOKMARK'" in source
    assert queueing.watching is watching
    assert {"resource", "namespace"} <= set(inspect.signature(module._kopfs_own).parameters)
    assert "'allowWatchBookmarks'" in inspect.getsource(watching.watch_objs)
    assert watch_settings([SERVICE]).watching.inactivity_timeout == RESTART_AFTER_S
    assert "settings.watching.inactivity_timeout" in inspect.getsource(watching.watch_objs)


async def test_a_bookmark_is_a_sign_of_life_and_is_handed_on(stream: list[Any]) -> None:
    now = [0.0]
    hearing = Hearing(Store(), [SERVICE, JOB], [], changed=lambda _: None, clock=lambda: now[0])
    now[0] = DEAF_AFTER_S - 1
    assert hearing.silent() == []
    stream.append(BOOKMARK)
    assert await handed_on() == [BOOKMARK]
    now[0] = DEAF_AFTER_S + 1
    assert hearing.silent() == ["Job"]


async def test_in_many_namespaces_each_watch_is_heard_by_itself(stream: list[Any]) -> None:
    now = [0.0]
    hearing = Hearing(Store(), [SERVICE], ["x", "y"], changed=lambda _: None, clock=lambda: now[0])
    stream.append(BOOKMARK)
    now[0] = DEAF_AFTER_S + 1
    await handed_on("x")
    assert hearing.silent() == ["Service"]
    await handed_on("y")
    assert hearing.silent() == []


async def test_silence_while_the_api_server_does_not_answer_is_not_the_watchs_fault(
    stream: list[Any],
) -> None:
    now = [0.0]
    hearing = Hearing(Store(), [SERVICE], [], changed=lambda _: None, clock=lambda: now[0])
    now[0] = 500.0
    hearing.excuse()
    now[0] += DEAF_AFTER_S - 1
    assert hearing.silent() == []
    now[0] += 2
    assert hearing.silent() == ["Service"]


async def test_a_kind_whose_lists_are_refused_excuses_itself_and_no_other(stream: list[Any]) -> None:
    now = [0.0]
    hearing = Hearing(Store(), [SERVICE, JOB], [], changed=lambda _: None, clock=lambda: now[0])
    now[0] = DEAF_AFTER_S + 1
    hearing.excuse(SERVICE)
    assert hearing.silent() == ["Job"]


async def test_a_namespace_that_is_left_out_is_not_silent_and_has_its_time_when_it_is_back() -> None:
    now = [0.0]
    hearing = Hearing(Store(), [SERVICE], ["a", "b"], changed=lambda _: None, clock=lambda: now[0])
    hearing.left_out.add("b")
    now[0] = 500.0
    hearing._heard[SERVICE, "a"] = 500.0
    assert hearing.silent() == []
    hearing.take_back("b")
    assert hearing.silent() == []
    now[0] += DEAF_AFTER_S
    hearing._heard[SERVICE, "a"] = now[0]
    assert hearing.silent() == ["Service"]


async def test_what_a_new_list_leaves_out_is_gone_but_not_what_was_applied_since(stream: list[Any]) -> None:
    store, changed = Store(), list[Key]()
    Hearing(store, [SERVICE], [], changed=changed.append)
    for name in ("stays", "goes"):
        store.put(service(name, 5))
    store.put(service("new", 9), watched=False)
    listed = {"type": None, "object": service("stays", 5)}
    stream += [listed, watching.Bookmark.LISTED]
    assert await handed_on() == stream
    assert changed == [("s", "goes")]
    assert {name for _, name, _, _ in store.known("Service", None)} == {"stays", "new"}
