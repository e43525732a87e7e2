"""A Reranker that is deleted and made again under its name, while what the first one left is still there."""

import pytest
from cluster.harness import wait_for
from cluster.operator_process import OperatorProcess
from cluster.space import Space

HUB = {"uri": "hf://org/model"}


def test_what_goes_with_an_earlier_reranker_is_waited_for_and_no_conflict(
    space: Space, operator: OperatorProcess
) -> None:
    space.rerank()
    space.settled()

    def uids() -> list[str]:
        return [space.get(plural)["metadata"]["uid"] for plural in ("services", "deployments")]

    old = uids()
    space.patch("services", "demo", {"metadata": {"finalizers": ["podium.sh/test"]}})
    space.delete("rerankers")
    space.rerank()
    message = space.wait_condition("Ready", "Unknown", "WaitingForDeletion")
    assert "Service demo" in message
    assert space.condition("Accepted")[0] == "True"
    assert space.condition("Stalled")[0] == "False"
    space.patch("services", "demo", {"metadata": {"finalizers": None}})
    wait_for(
        "new Service",
        lambda: (space.get("services") or {"metadata": {"uid": old[0]}})["metadata"]["uid"] not in old,
    )
    space.settled()
    assert not {*old} & {*uids()}
    owner = space.get("rerankers")["metadata"]["uid"]
    assert space.get("deployments")["metadata"]["ownerReferences"][0]["uid"] == owner
    assert space.condition("Ready")[1] != "WaitingForDeletion"


@pytest.mark.parametrize(
    ("cache", "told"),
    [({}, ""), ({"accessModes": ["ReadWriteMany"], "storageClassName": "fast"}, "not ReadWriteMany")],
    ids=["says-nothing", "says-something-else"],
)
def test_an_earlier_rerankers_claim_is_taken_as_it_is(
    space: Space, operator: OperatorProcess, cache: dict, told: str
) -> None:
    """Its modes and its class are fixed: another word for them would be refused for ever."""
    space.rerank(model=HUB, cache={"storageClassName": "slow"})
    claim = space.wait("persistentvolumeclaims", "demo-cache")
    space.settled()
    space.delete("rerankers")
    wait_for("first one gone", lambda: space.get("services") is None)
    space.rerank(model=HUB, cache=cache)
    space.end_job(space.download_job())
    assert told in space.wait_condition("CacheReady", "True", "Downloaded")
    space.settled()
    assert space.condition("Progressing")[1] != "Refused"
    live = space.get("persistentvolumeclaims", "demo-cache")
    assert live["metadata"]["uid"] == claim["metadata"]["uid"]
    assert (live["spec"]["accessModes"], live["spec"]["storageClassName"]) == (["ReadWriteOnce"], "slow")
