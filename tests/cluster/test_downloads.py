"""Claims and downloads on a real API server: filled before pods change, tried again, kept, taken up again."""

import json

import pytest
from cluster.harness import wait_for
from cluster.space import Space

pytestmark = pytest.mark.usefixtures("operator")
HUB = {"uri": "hf://org/model"}


def test_a_hub_model_is_downloaded_before_it_is_served(space: Space) -> None:
    space.rerank(model=HUB)
    job = space.download_job()
    space.settled()
    assert space.get("deployments") is None
    assert space.condition("CacheReady")[:2] == ("False", "Downloading")
    space.end_job(job)
    space.wait("deployments")
    space.wait_condition("CacheReady", "True", "Downloaded")
    claim = space.get("persistentvolumeclaims", "demo-cache")
    assert "ownerReferences" not in claim["metadata"]


def test_another_model_is_downloaded_while_the_old_pods_serve(space: Space) -> None:
    space.rerank(model=HUB)
    first = space.download_job()
    space.end_job(first)
    template = space.wait("deployments")["spec"]["template"]
    space.rerank(model={**HUB, "revision": "v2"}, replicas=2)
    wait_for("second Job", lambda: space.download_job() != first)
    space.settled()
    deployment = space.get("deployments")
    assert deployment["spec"]["template"] == template
    assert deployment["spec"]["replicas"] == 2
    space.end_job(space.download_job())
    wait_for("roll", lambda: space.get("deployments")["spec"]["template"] != template)


def test_a_failed_download_is_tried_again_until_it_succeeds(space: Space) -> None:
    space.rerank(model=HUB)
    name = space.download_job()
    first = space.get("jobs", name)["metadata"]["uid"]
    words = {"reason": "Unauthorized", "message": "the hub wants a token (401)", "httpStatus": 401}
    space.end_job(name, code=42, words=json.dumps(words))
    message = space.wait_condition("CacheReady", "False", "Unauthorized")
    assert "the hub wants a token (401)" in message
    assert "To mend it: put a token that the hub accepts" in message
    wait_for(
        "second try",
        lambda: (space.get("jobs", name) or {}).get("metadata", {}).get("uid") not in (None, first),
    )
    wait_for("attempts", lambda: space.get("rerankers")["status"]["download"]["attempts"] == 2)
    assert space.condition("CacheReady")[1] == "Unauthorized", "the last failure stays in sight"
    space.end_job(name, words=json.dumps({"resolvedRevision": "c" * 40, "bytes": 77}))
    space.wait_condition("CacheReady", "True", "Downloaded")
    assert space.get("rerankers")["status"]["model"] == {
        "uri": "hf://org/model", "resolvedRevision": "c" * 40, "sizeBytes": 77,
    }  # fmt: skip
    assert "lastFailure" not in space.get("rerankers")["status"]["download"]


def test_a_finished_job_that_someone_deletes_takes_nothing_along(space: Space) -> None:
    space.rerank(model=HUB)
    name = space.download_job()
    space.end_job(name, words=json.dumps({"resolvedRevision": "c" * 40, "bytes": 77}))
    space.wait_condition("CacheReady", "True", "Downloaded")
    before = space.get("rerankers")["status"]
    space.delete("jobs", name)
    wait_for("job gone", lambda: not space.list("jobs"))
    space.settled()
    assert not space.list("jobs")
    after = space.get("rerankers")["status"]
    assert space.condition("CacheReady")[:2] == ("True", "Downloaded")
    assert [after[key] for key in ("model", "cache")] == [before[key] for key in ("model", "cache")]


def test_a_gpu_claim_is_bound_first(space: Space) -> None:
    space.rerank(model=HUB, gpu={})
    wait_for("binder", lambda: any("-bind-" in job["metadata"]["name"] for job in space.list("jobs")))
    space.settled()
    assert not any("-dl-" in job["metadata"]["name"] for job in space.list("jobs"))
    space.bind_claim("demo-cache")
    space.download_job()
    wait_for(
        "binder gone", lambda: not any("-bind-" in job["metadata"]["name"] for job in space.list("jobs"))
    )


def test_a_retained_claim_is_taken_up_again(space: Space) -> None:
    space.rerank(model=HUB)
    space.download_job()
    uid = space.get("persistentvolumeclaims", "demo-cache")["metadata"]["uid"]
    space.delete("rerankers")
    wait_for("job gone", lambda: not space.list("jobs"), timeout_s=30)
    space.rerank(model=HUB)
    space.download_job()
    assert space.get("persistentvolumeclaims", "demo-cache")["metadata"]["uid"] == uid
    assert space.condition("Accepted")[0] in ("", "True")


def test_a_missing_claim_says_so_and_is_found_once_it_is_made(space: Space) -> None:
    space.rerank("a", model={"uri": "pvc://weights/minilm"})
    message = space.wait_condition("CacheReady", "False", "ClaimNotFound", "a")
    assert "claim weights does not exist" in message
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    space.plane.apply({**claim, "spec": spec}, namespace=space.name)
    space.wait_condition("CacheReady", "True", "Existing", "a", timeout_s=30)
    assert "ownerReferences" not in space.get("persistentvolumeclaims", "weights")["metadata"]
