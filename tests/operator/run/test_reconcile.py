"""One look with a fake cluster: what is written, in which order, and what a refusal leads to."""

from collections.abc import Mapping
from typing import Any

import pytest
from reconciling import KEY, World
from rerankers import HUB, body

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run.cluster import ApiError


async def test_everything_is_made_in_one_look_and_status_is_written_by_the_next() -> None:
    world = World(model={"uri": HUB}, networkPolicy={"enabled": True})
    assert await world.reconciler(KEY) == 1.0
    assert world.cluster.log == [
        "apply ServiceAccount", "apply PersistentVolumeClaim", "apply NetworkPolicy", "apply NetworkPolicy",
        "apply Service", "apply Job",
    ]  # fmt: skip
    await world.look()
    assert world.cluster.log == ["status"]
    await world.look()
    assert world.cluster.log == []


async def test_an_edit_that_comes_with_the_answer_to_a_status_is_looked_at_at_once() -> None:
    world = World()
    await world.look()
    apply_status = world.cluster.apply_status

    async def edited(resource: Any, status: Any) -> Any:
        answer = await apply_status(resource, status)
        return world.cluster.keep(
            {**answer, "metadata": {**answer["metadata"], "generation": 2}}, answer["metadata"]["uid"]
        )

    world.ask(generation=1, replicas=3)  # so that there is a status to write
    world.cluster.apply_status = edited  # type: ignore[method-assign]
    assert await world.look() == 0.0


async def test_the_number_is_left_to_an_autoscaler_only_after_it_was_handed_over() -> None:
    world = World(replicas=5)
    await world.look()
    world.ask(generation=2, autoscaling={"maxReplicas": 9})
    good, tries = world.cluster.apply, []

    async def refuse(
        manifest: Mapping[str, Any], *, uid: str | None, manager: str = "podium-operator"
    ) -> Any:
        if manifest["kind"] == "Deployment":
            tries.append(manager)
            raise ApiError(500, "no")
        return await good(manifest, uid=uid, manager=manager)

    world.cluster.apply = refuse  # type: ignore[method-assign]
    await world.look()
    assert tries == ["podium-operator-handover"], "leaving the number out now would mean one pod"


async def test_an_autoscaled_deployment_that_someone_scaled_to_0_says_so_and_is_brought_back() -> None:
    world = World(autoscaling={"minReplicas": 2, "maxReplicas": 9})
    await world.look()
    live = world.cluster.objects["Deployment", "demo"]
    fields = {"f:spec": {"f:replicas": {}}}
    managed = [{"manager": "kubectl", "subresource": "scale", "time": "2026", "fieldsV1": fields}]
    zero = {**live, "metadata": {**live["metadata"], "managedFields": managed}}
    world.store.put(
        world.cluster.keep({**zero, "spec": {**live["spec"], "replicas": 0}}, live["metadata"]["uid"])
    )
    await world.look()
    assert world.condition("Available") == ("False", "ScaledToZero")
    told = [event for event in world.cluster.events if event["reason"] == "ScaledToZero"]
    assert len(told) == 1
    assert "manager kubectl scaled the autoscaled Deployment to 0" in told[0]["message"]
    assert world.cluster.log.count("apply Deployment") == 3, "raised, handed over, left to the autoscaler"


async def test_a_port_that_was_moved_is_taken_out_before_ours_is_applied_again() -> None:
    world = World()
    await world.look()
    service = world.cluster.objects["Service", "demo"]
    good = service["spec"]["ports"]
    moved = {**service, "spec": {**service["spec"], "ports": [{**good[0], "port": 81}]}}
    world.store.put(world.cluster.keep(moved, service["metadata"]["uid"]))
    world.cluster.refusals["Service"] = ApiError(422, 'spec.ports[1].name: Duplicate value: "http"')
    await world.look()
    patch = f"patch Service {{'ports': {good}}}"
    assert world.cluster.log == ["apply Service", patch, "apply Service"]
    assert world.cluster.objects["Service", "demo"]["spec"] == service["spec"]


async def test_a_foreign_object_is_found_out_by_the_refused_making_and_left_alone() -> None:
    world = World()
    theirs = {
        "kind": "Service",
        "metadata": {"name": "demo", "namespace": "search", "labels": {}},
        "spec": {},
    }
    world.cluster.keep(theirs, "theirs")
    await world.look()
    assert world.condition("Accepted") == ("False", "NameConflict")
    assert world.cluster.objects["Service", "demo"]["metadata"]["uid"] == "theirs"
    await world.look()
    assert world.cluster.log == []
    del world.cluster.objects["Service", "demo"]
    world.now = 6.0
    await world.look()
    assert world.condition("Accepted") == ("True", "Accepted")


@pytest.mark.parametrize("answer", ["someone else's", "an error"])
async def test_no_pod_runs_under_an_account_that_is_not_its_own(answer: str) -> None:
    world = World()
    if answer == "an error":
        world.cluster.refusals["ServiceAccount"] = ApiError(500, "no")
    else:
        theirs = {"kind": "ServiceAccount", "metadata": {"name": "demo", "namespace": "search", "labels": {}}}
        world.cluster.keep(theirs, "theirs")
    for moment in 0.0, 1.0, 7.0, 20.0:
        world.now = moment
        await world.look()
        assert ("Deployment", "demo") not in world.cluster.objects
    assert (("Service", "demo") in world.cluster.objects) is (answer == "an error")
    world.cluster.refusals.clear()
    world.cluster.objects.pop(("ServiceAccount", "demo"), None)
    world.now = 600.0
    await world.look()
    assert ("Deployment", "demo") in world.cluster.objects


async def test_without_its_account_a_deployment_that_runs_is_still_suspended() -> None:
    world = World()
    await world.look()
    del world.cluster.objects["ServiceAccount", "demo"]
    world.store.forget(("ServiceAccount", "search", "demo"))
    world.cluster.refusals["ServiceAccount"] = ApiError(403, "no")
    world.ask(generation=2, suspend=True)
    await world.look()
    assert world.cluster.objects["Deployment", "demo"]["spec"]["replicas"] == 0


async def test_our_own_object_that_lost_its_label_is_taken_back_by_its_uid() -> None:
    world = World()
    await world.look()
    service = world.cluster.objects["Service", "demo"]
    stripped = {**service, "metadata": {**service["metadata"], "labels": {}}}
    world.cluster.objects["Service", "demo"] = stripped
    world.store.forget(("Service", "search", "demo"))
    await world.look()
    assert world.cluster.objects["Service", "demo"]["metadata"]["labels"][OWNER_LABEL] == "demo"


async def test_a_gone_reranker_is_forgotten_and_one_that_is_going_left_alone() -> None:
    world = World()
    going = body()
    going["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.store.put(world.cluster.keep(going, "x"))
    assert await world.look() is None
    world.store.forget(("Reranker", *KEY))
    assert await world.look() is None
    assert world.cluster.log == []


async def test_an_event_that_cannot_be_posted_does_not_fail_the_look() -> None:
    world = World(podTemplate={"overlay": {"hostPID": True}})

    async def refuse(event: Mapping[str, Any]) -> None:
        raise ApiError(403, "no")

    world.cluster.post_event = refuse  # type: ignore[method-assign]
    await world.look()
    assert world.condition("Accepted") == ("False", "OverlayRefused")
