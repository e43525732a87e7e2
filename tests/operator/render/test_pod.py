"""Serving and download pods: their device, claims, security contexts and what a platform adds to them."""

from typing import Any

import msgspec
import pytest
from rerankers import HUB, SETTINGS, body, children_of, downloaded, look, settle

from podium_operator.settings import Settings

CLAIMS = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]}
PLATFORM = msgspec.structs.replace(
    SETTINGS,
    pod_security_context={"runAsNonRoot": True},
    container_security_context={"allowPrivilegeEscalation": False},
)
SHAPED = {
    "labels": {"kueue.x-k8s.io/queue-name": "downloads", "podium.sh/reranker": "theirs"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "schedulerName": "volcano",
    "priorityClassName": "low",
    "runtimeClassName": "gvisor",
}


def serving(settings: Settings = SETTINGS, **spec: Any) -> dict[str, Any]:
    """Return the serving pod's `spec`."""
    seen = settle(body(**spec), settings)
    return dict(seen.children["Deployment", "demo"]["spec"]["template"]["spec"])


def job(part: str, settings: Settings = SETTINGS, **spec: Any) -> dict[str, Any]:
    """Return the Job with that in its name."""
    bound = {
        "metadata": {"name": "demo-cache", "uid": "c"},
        "status": {"phase": "Bound" if "dl" in part else "Pending"},
    }
    children = settle(body(model={"uri": HUB}, **spec), settings, claim=bound).children
    return next(dict(child) for key, child in children.items() if key[0] == "Job" and part in key[1])


def device(pod: dict[str, Any]) -> str | None:
    found = [item["value"] for item in pod["containers"][0]["env"] if item["name"] == "PODIUM_DEVICE"]
    return found[0] if found else None


@pytest.mark.parametrize("modes", [["ReadWriteOnce"], ["ReadOnlyMany"]])
def test_pods_of_a_named_claim_stay_on_its_node_where_one_node_has_it(modes: list[str]) -> None:
    name = "weights-" + 9 * "of-a-long-name"
    claim = {"metadata": {"name": name}, "spec": {"accessModes": modes}}
    resource = body(model={"uri": f"pvc://{name}/m"})
    template = settle(resource, claim=claim).children["Deployment", "demo"]["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]
    if modes == ["ReadOnlyMany"]:
        assert "affinity" not in template["spec"]
        assert len(spread) == 2
        return
    (term,) = template["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    wanted = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert (term["weight"], wanted.items() <= template["metadata"]["labels"].items()) == (100, True)
    assert len(wanted["podium.sh/claim"]) <= 63
    assert [item.get("labelSelector") for item in spread] == [None], "it counts no pod"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        pytest.param({}, None, id="cpu"),
        pytest.param({"gpu": {}}, "cuda", id="nvidia"),
        pytest.param({"gpu": {"resourceName": "nvidia.com/mig-1g.18gb"}}, "cuda", id="a-slice"),
        pytest.param({"gpu": CLAIMS}, "cuda", id="a-claim"),
        pytest.param({"gpu": {"resourceName": "amd.com/gpu"}}, None, id="another-vendor"),
        pytest.param(
            {"gpu": {}, "engine": {"settings": {"device": "cuda:0"}}}, "cuda:0", id="the-users-word"
        ),
    ],
)
def test_a_pod_with_an_nvidia_gpu_never_serves_on_the_cpu_by_itself(spec: dict, wanted: str | None) -> None:
    assert device(serving(**spec)) == wanted


def test_a_cluster_whose_gpus_are_pretended_says_auto() -> None:
    settings = msgspec.structs.replace(SETTINGS, gpu_device="auto")
    assert device(serving(settings, gpu={})) == "auto"


def test_claims_take_the_place_of_the_resource_in_serving_pods_and_the_binder() -> None:
    for pod in (serving(gpu=CLAIMS), job("-bind-", gpu=CLAIMS)["spec"]["template"]["spec"]):
        assert pod["resourceClaims"] == CLAIMS["resourceClaims"]
        resources = pod["containers"][0]["resources"]
        assert resources["claims"] == [{"name": "gpu"}]
        assert not any("nvidia" in name for name in {**resources["requests"], **resources.get("limits", {})})
        assert pod["containers"][0]["image"] == "podium:cuda"
    download = job("-dl-", gpu=CLAIMS)["spec"]["template"]["spec"]
    assert "resourceClaims" not in download


@pytest.mark.parametrize("part", ["-dl-", "-bind-"])
def test_the_caches_jobs_can_be_told_to_queues_and_meshes(part: str) -> None:
    made = job(part, gpu={}, cache={"download": {"podTemplate": SHAPED}})
    pod = made["spec"]["template"]
    for metadata in (made["metadata"], pod["metadata"]):
        assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "downloads"
        assert metadata["labels"]["podium.sh/reranker"] == "demo", "ours win"
    assert pod["metadata"]["annotations"] == SHAPED["annotations"]
    if part == "-dl-":
        assert (pod["spec"]["schedulerName"], pod["spec"]["priorityClassName"]) == ("volcano", "low")
        assert pod["spec"]["runtimeClassName"] == "gvisor"


def download(**spec: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return settings of the service and resources of the download's container."""
    (container,) = job("-dl-", **spec)["spec"]["template"]["spec"]["containers"]
    said = {item["name"]: item.get("value") for item in container["env"]}
    return {name: value for name, value in said.items() if name.startswith("PODIUM_")}, container["resources"]


def test_a_download_for_int8_takes_the_scales_as_serving_pods_read_with_the_memory_of_one() -> None:
    engine = {
        "dtype": "int8",
        "maxLength": 512,
        "settings": {"instruction": "judge", "self_test": "off"},
        "resources": {"requests": {"cpu": "4", "memory": "6Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}},
    }
    said, resources = download(engine=engine)
    wanted = {"PODIUM_DTYPE": "int8", "PODIUM_MAX_LENGTH": "512", "PODIUM_INSTRUCTION": "judge"}
    assert said == {"PODIUM_CACHE_DIR": "/tmp/podium", "PODIUM_METRICS_PORT": "8080", **wanted}
    assert resources == {"requests": {"cpu": "250m", "memory": "6Gi"}, "limits": {"memory": "8Gi"}}
    assert download(engine={"dtype": "int8"})[1] == {"requests": {"cpu": "250m", "memory": "2Gi"}}
    assert download(engine={"settings": {"dtype": "int8"}})[0]["PODIUM_DTYPE"] == "int8"
    small = {"limits": {"memory": "1Gi"}}
    assert download(engine=engine, cache={"download": {"resources": small}})[1] == small


@pytest.mark.parametrize("dtype", [None, "auto", "bfloat16"])
def test_a_download_for_another_dtype_loads_no_model(dtype: str | None) -> None:
    said, resources = download(engine={"dtype": dtype, "maxLength": 512} if dtype else {})
    assert said == {"PODIUM_CACHE_DIR": "/tmp/podium", "PODIUM_METRICS_PORT": "8080"}
    assert resources["limits"] == {"memory": "2Gi"}


def test_a_change_to_int8_does_not_download_anew() -> None:
    before = downloaded(body(model={"uri": HUB}))
    changed = body(generation=2, model={"uri": HUB}, engine={"dtype": "int8"})
    plan = look(changed, before).plan
    assert ("Job" in {kind for kind, _ in before.children}, plan.applies != ()) == (True, True)
    assert {kind for kind, _ in plan.concerns} == {"Deployment"}


def test_security_contexts_are_the_platforms_where_it_has_some() -> None:
    pods = [serving(PLATFORM), job("-dl-", PLATFORM)["spec"]["template"]["spec"]]
    for pod in pods:
        assert pod["securityContext"] == {"runAsNonRoot": True}, "OpenShift assigns the user"
        assert pod["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}
    assert serving()["securityContext"]["runAsUser"] == 65532


def test_a_volume_may_be_mounted_twice_and_takes_nothing_from_another_mount() -> None:
    mounts = [
        {"name": "more", "mountPath": "/a", "subPath": "a"},
        {"name": "more", "mountPath": "/b", "subPath": "b"},
        {"name": "tmp", "mountPath": "/scratch"},
    ]
    overlay = {
        "containers": [{"name": "reranker", "volumeMounts": mounts}],
        "volumes": [{"name": "more", "emptyDir": {}}],
    }
    plain, laid = (
        next(each for each in children_of(body(**spec)).manifests if each["kind"] == "Deployment")
        for spec in ({}, {"podTemplate": {"overlay": overlay}})
    )
    before, after = (
        each["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] for each in (plain, laid)
    )
    assert after == [*before, *mounts]


def test_a_binder_ends_at_once_whatever_an_overlay_starts_beside_the_serving_container() -> None:
    overlay = {
        "containers": [{"name": "side", "image": "s"}],
        "initContainers": [{"name": "wait", "image": "w"}],
    }
    pod = job("-bind-", gpu={}, podTemplate={"overlay": overlay})["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["bind"]
    assert "initContainers" not in pod
