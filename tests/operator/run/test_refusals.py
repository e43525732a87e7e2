"""Children that the API server refuses or does not answer for: told, tried again, and no others held up."""

from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
import pytest
from reconciling import KEY, World
from rerankers import NOW, SETTINGS

from podium_operator.run.cluster import ApiError, Unreachable
from podium_operator.run.reconcile import Reconciler
from podium_operator.seen.kinds import Kind


async def test_a_refused_child_is_told_and_waits_while_the_others_are_made() -> None:
    world = World(replicas=2)
    world.cluster.refusals["Deployment"] = ApiError(403, "exceeded quota: count/deployments.apps")
    again_s = await world.look()
    assert "apply PodDisruptionBudget" in world.cluster.log
    assert world.condition("Scheduled") == ("False", "Refused")
    assert again_s == 5.0
    await world.look()
    assert world.cluster.log == [], "the same object is not tried again before its time"
    del world.cluster.refusals["Deployment"]
    world.now = 6.0
    await world.look()
    assert "apply Deployment" in world.cluster.log
    assert world.condition("Scheduled")[1] != "Refused"


@pytest.mark.parametrize(
    ("error", "waits_s"),
    [
        (ApiError(500, "no"), 1.0),
        (ApiError(429, "slow", 3.0), 3.0),
        (ApiError(429, "a webhook's wish: in 68 years", 2.0**31), 300.0),
        (Unreachable("the webhook hangs"), 1.0),
    ],
)
async def test_one_child_that_fails_hides_no_other_is_told_and_tried_again_by_itself(
    error: Exception, waits_s: float
) -> None:
    world = World(replicas=2)
    world.cluster.refusals["Service"] = error
    again_s = await world.look()
    made = [entry for entry in world.cluster.log if entry.startswith("apply")]
    assert made == ["apply ServiceAccount", "apply Service", "apply Deployment", "apply PodDisruptionBudget"]
    assert world.condition("Progressing") == ("False", "Refused")
    assert world.condition("Ready") == ("Unknown", "Refused")
    assert world.condition("Reconciling") == ("True", "Refused")
    assert again_s == waits_s
    world.cluster.refusals.clear()
    world.now = waits_s
    await world.look()
    assert world.cluster.log == ["apply Service", "status"]
    assert world.condition("Progressing")[1] == "RollingOut"


async def test_without_an_api_server_the_look_ends_and_is_tried_again_as_a_whole() -> None:
    world = World(replicas=2)
    for kind in ("ServiceAccount", "Service", "status"):
        world.cluster.refusals[kind] = Unreachable("gone")
    with pytest.raises(Unreachable):
        await world.look()
    assert world.cluster.log == ["apply ServiceAccount", "apply Service", "status"]


async def test_webhooks_that_hang_for_several_children_keep_no_status_from_being_written() -> None:
    world = World(replicas=2)
    for kind in ("ServiceAccount", "Service"):
        world.cluster.refusals[kind] = Unreachable("no answer in 10 s")
    await world.look()
    assert world.cluster.log == ["apply ServiceAccount", "apply Service", "status"]
    assert world.condition("Ready") == ("Unknown", "Refused")


async def test_children_behind_two_that_get_no_answer_are_made_in_the_next_look() -> None:
    world = World(replicas=2)
    apply = world.cluster.apply

    async def slow(manifest: Any, **options: Any) -> Any:
        if manifest["kind"] in ("ServiceAccount", "Service"):
            world.now += 10
            raise Unreachable("no answer in 10 s")
        return await apply(manifest, **options)

    world.cluster.apply = slow  # type: ignore[method-assign]
    again_s = await world.look()
    assert again_s is not None
    world.now += again_s
    await world.look()
    assert "apply PodDisruptionBudget" in world.cluster.log


async def test_who_denies_the_making_with_a_conflict_is_told_and_asked_later_and_later() -> None:
    world = World()
    world.cluster.refusals["Service"] = ApiError(409, "denied by a policy")
    await world.look()
    assert world.condition("Progressing") == ("False", "Refused")
    assert world.cluster.log.count("apply Service") <= 1


async def test_what_could_not_be_put_right_counts_as_taken_once() -> None:
    world = World()
    await world.look()
    service = dict(world.cluster.objects["Service", "demo"])
    world.store.put(
        world.cluster.keep(
            {**service, "spec": {**service["spec"], "type": "NodePort"}}, service["metadata"]["uid"]
        )
    )
    world.cluster.refusals["Service"] = ApiError(500, "a webhook is away")
    for _ in range(4):
        world.now += 60
        await world.look()
    assert world.condition("Degraded")[1] != "ConflictingFieldManager"


async def test_a_refusal_is_forgotten_when_its_object_is_no_longer_wanted() -> None:
    world = World(networkPolicy={"enabled": True})
    world.cluster.refusals["NetworkPolicy"] = ApiError(403, "exceeded quota")
    await world.look()
    assert world.condition("Progressing") == ("False", "Refused")
    world.ask(generation=2)
    again_s = await world.look()
    assert again_s is not None
    assert again_s > 100, "nothing is due"
    assert world.condition("Progressing")[1] != "Refused"


async def test_a_refused_change_that_is_taken_back_is_told_no_longer() -> None:
    world = World()
    await world.look()
    world.cluster.refusals["Deployment"] = ApiError(403, "a policy forbids it")
    world.ask(generation=2, rollout={"minReadySeconds": 3600})
    await world.look()
    assert world.condition("Progressing") == ("False", "Refused")
    assert world.condition("Ready")[0] == "Unknown"
    world.ask(generation=3)
    again_s = await world.look()
    assert again_s is not None
    assert again_s > 100
    assert world.condition("Progressing")[1] != "Refused"


async def test_a_deletion_that_fails_is_told_and_tried_again() -> None:
    world = World(networkPolicy={"enabled": True})
    await world.look()
    good = world.cluster.delete

    async def refuse(kind: Kind, namespace: str, name: str, uid: str) -> None:
        raise ApiError(500, "failed calling webhook")

    world.cluster.delete = refuse  # type: ignore[method-assign]
    world.ask(generation=2)
    assert await world.look() == 1.0
    assert world.condition("Progressing") == ("False", "Refused")
    world.cluster.delete = good  # type: ignore[method-assign]
    world.now = 1.0
    await world.look()
    assert world.cluster.log == ["delete NetworkPolicy", "status"]


async def test_a_refusal_that_has_nothing_to_do_with_others_is_told_as_it_is() -> None:
    world = World(replicas=2)
    world.cluster.refusals["Deployment"] = ApiError(422, "spec.template: Invalid value")
    await world.look()
    assert world.condition("Scheduled") == ("False", "Refused")
    assert not [entry for entry in world.cluster.log if entry.startswith("patch")]


async def test_an_upgrade_whose_pods_are_refused_is_told_and_tried_later_and_later() -> None:
    world = World(rollout={"onUpgrade": "Roll"})
    await world.look()
    numbers = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), 1)
    live = world.cluster.objects["Deployment", "demo"]
    world.store.put(world.cluster.keep({**live, "status": numbers}, live["metadata"]["uid"]))
    world.cluster.refusals["Deployment"] = ApiError(403, "no image of that registry")
    wall = iter(NOW + timedelta(seconds=n) for n in count())
    world.reconciler = Reconciler(
        world.store,
        world.cluster,  # type: ignore[arg-type]
        msgspec.structs.replace(SETTINGS, reranker_image="elsewhere/podium:next"),
        wall=lambda: next(wall),
        clock=lambda: world.now,
    )
    tries = []
    for moment in 0.0, 0.5, 5.5, 6.0, 12.0, 16.0:
        world.now = moment
        await world.look()
        tries.append(world.cluster.log.count("apply Deployment"))
    assert tries == [1, 0, 1, 0, 0, 1]
    assert world.condition("Progressing") == ("False", "Refused")
    status = world.store.reranker(KEY)["status"]
    assert status["upToDate"] is False
    assert status["pinned"]["image"] == SETTINGS.reranker_image
