"""One of several processes holds the Lease; nobody writes who may have lost it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from podium_operator.run.cluster import ApiError, Unreachable
from podium_operator.run.lease import DURATION_S, Lease


class FakeLeases:
    """One Lease with the API server's checks; `away`: it does not answer."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def lease(
        self, method: str, namespace: str, name: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        if self.away:
            raise Unreachable("gone")
        if method == "GET":
            return self.body
        assert body is not None
        if method == "POST" and self.body is not None:
            raise ApiError(409, "already exists")
        if method == "PUT":
            assert self.body is not None
            if body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
                raise ApiError(409, "the object has been modified")
        self.version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        self.body = {**body, "metadata": metadata}
        return self.body


class Two:
    """Two processes over one Lease, with one clock."""

    def __init__(self) -> None:
        self.cluster, self.now, self.turns = FakeLeases(), 0.0, list[tuple[str, bool]]()
        self.one, self.two = self.process("one"), self.process("two")

    def process(self, holder: str) -> Lease:
        def changed(leading: bool) -> None:
            self.turns.append((holder, leading))

        cluster: Any = self.cluster
        return Lease(cluster, "release/podium", holder, changed=changed, clock=lambda: self.now)

    async def turn(self, *leases: Lease) -> list[bool]:
        """Let each have one turn; return which of the two lead."""
        for lease in leases:
            task = asyncio.create_task(lease.run())
            await asyncio.sleep(0.01)
            task.cancel()
        return [self.one.leading, self.two.leading]


async def test_the_first_leads_the_second_stands_by_and_takes_over_when_nothing_is_renewed() -> None:
    world = Two()
    assert await world.turn(world.one, world.two) == [True, False]
    for _ in range(10):
        world.now += 3
        assert await world.turn(world.one, world.two) == [True, False]
    world.now += DURATION_S - 0.5
    assert await world.turn(world.two) == [False, False], "the first writes no more, the second not yet"
    world.now += 0.6
    assert await world.turn(world.two) == [False, True]
    assert world.cluster.body is not None
    assert world.cluster.body["spec"]["holderIdentity"] == "two"
    assert world.cluster.body["spec"]["leaseTransitions"] == 2
    assert await world.turn(world.one, world.two) == [False, True], "it is not taken back"


async def test_a_released_lease_is_taken_at_once() -> None:
    world = Two()
    await world.turn(world.one, world.two)
    await world.one.release()
    assert world.turns[-1] == ("one", False)
    assert await world.turn(world.two) == [False, True]


async def test_a_process_that_comes_back_under_its_name_goes_on_at_once() -> None:
    world = Two()
    await world.turn(world.one)
    again = world.process("one")
    await world.turn(again)
    assert again.leading
    assert again.transitions == world.one.transitions, "nobody wrote in between"


async def test_while_the_api_server_is_away_nobody_leads_and_it_is_told() -> None:
    world = Two()
    await world.turn(world.one)
    world.cluster.away = True
    world.now += 5
    assert await world.turn(world.one) == [True, False], "its time is not over"
    world.now += DURATION_S
    assert await world.turn(world.one) == [False, False]
    assert world.one.trouble == "the Lease release/podium cannot be had: gone"
    world.cluster.away = False
    assert await world.turn(world.one) == [True, False]
    assert world.one.trouble is None
    assert [leading for _, leading in world.turns] == [True, False, True]


async def test_of_two_that_take_it_at_the_same_time_one_gets_it() -> None:
    world = Two()
    await world.turn(world.one)
    await world.one.release()
    body = world.cluster.body
    await world.turn(world.two)
    world.one._body = body
    assert await world.turn(world.one) == [False, True]


async def test_a_write_waits_for_a_renewal_that_is_late_and_not_for_one_that_was_lost() -> None:
    world = Two()
    await world.turn(world.one)
    world.now += DURATION_S
    writing = asyncio.create_task(world.one.may_write())
    await asyncio.sleep(0.05)
    assert not writing.done(), "its renewal is on the way for all that is known"
    await world.turn(world.one)
    assert await asyncio.wait_for(writing, 5)
    world.now += 2 * DURATION_S
    await world.turn(world.two)
    world.now += DURATION_S + 1
    await world.turn(world.two, world.one)
    assert not await world.one.may_write(), "another process leads: nothing is waited for"
