"""What an overlay may be under each setting: safe admits the allow-list and nothing that widens a pod."""

# ruff: noqa: E501  a case is easier to read on its line

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from overlays import ADMITTED, container, security, volume
from rerankers import HUB, SETTINGS, look, reranker, settle
from rerankers import body as resource_of

from podium_operator.resource.validate import Problem, find_problem

ANY = msgspec.structs.replace(SETTINGS, overlay="any")
FIELDS = [
    "containers", "initContainers", "volumes", "name", "securityContext", "runAsUser", "capabilities", "drop", "env",
    "hostNetwork", "lifecycle", "httpGet", "host", "affinity", "tolerations", "serviceAccountName", "secret",
]  # fmt: skip
OFF = msgspec.structs.replace(SETTINGS, overlay="off")


def problem(overlay: dict, settings: Any = SETTINGS) -> Problem | None:
    return find_problem(reranker(podTemplate={"overlay": overlay}), settings)


SECRET = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
REFUSED = {
    "host-network": ({"hostNetwork": True}, "hostNetwork: True"),
    "host-pid": ({"hostPID": True}, "hostPID: True"),
    "host-ipc": ({"hostIPC": True}, "hostIPC: True"),
    "shared-processes": ({"shareProcessNamespace": True}, "shareProcessNamespace: True"),
    "node": ({"nodeName": "node-1"}, "nodeName: node-1"),
    "system-priority": ({"priorityClassName": "system-node-critical"}, "priorityClassName"),
    "priority": ({"priority": 2000001000}, "priority: 2000001000"),
    "account": ({"serviceAccountName": "admin"}, "serviceAccountName: admin"),
    "old-account": ({"serviceAccount": "admin"}, "serviceAccount: admin"),
    "token": ({"automountServiceAccountToken": True}, "automountServiceAccountToken: True"),
    "stripped-token": ({"automountServiceAccountToken": None}, "automountServiceAccountToken: None"),
    "pull-secrets": ({"imagePullSecrets": [{"name": "s"}]}, "imagePullSecrets"),
    "runtime": ({"runtimeClassName": "privileged-kata"}, "runtimeClassName"),
    "no-pod-security": ({"securityContext": None}, "securityContext: None"),
    "pod-root": ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser: 0"),
    "pod-may-be-root": ({"securityContext": {"runAsNonRoot": False}}, "securityContext.runAsNonRoot: False"),
    "pod-unconfined": ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile"),
    "pod-no-profile": ({"securityContext": {"seccompProfile": None}}, "seccompProfile: None"),
    "sysctls": ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "sysctls"),
    "host-process": (
        {"securityContext": {"windowsOptions": {"hostProcess": True}}}, "securityContext.windowsOptions",
    ),
    "no-security": (container(securityContext=None), "containers[reranker].securityContext: None"),
    "privileged": (security(privileged=True), "securityContext.privileged: True"),
    "escalation": (security(allowPrivilegeEscalation=True), "allowPrivilegeEscalation: True"),
    "escalation-by-default": (security(allowPrivilegeEscalation=None), "allowPrivilegeEscalation: None"),
    "root": (security(runAsUser=0), "runAsUser: 0"),
    "root-group": (security(runAsGroup=0), "runAsGroup: 0"),
    "unconfined": (security(seccompProfile={"type": "Unconfined"}), "seccompProfile"),
    "apparmor": (security(appArmorProfile={"type": "Unconfined"}), "appArmorProfile"),
    "capability": (security(capabilities={"add": ["NET_ADMIN"]}), "capabilities"),
    "kept-capabilities": (security(capabilities={"drop": []}), "capabilities"),
    "some-capabilities": (security(capabilities={"drop": ["NET_RAW"]}), "capabilities"),
    "no-capabilities": (security(capabilities=None), "capabilities: None"),
    "writable": (security(readOnlyRootFilesystem=False), "readOnlyRootFilesystem: False"),
    "proc": (security(procMount="Unmasked"), "procMount: Unmasked"),
    "selinux": (security(seLinuxOptions={"type": "spc_t"}), "seLinuxOptions"),
    "init-root": ({"initContainers": [{"name": "i", "securityContext": {"runAsUser": 0}}]}, "initContainers[i]"),
    "ephemeral-container": ({"ephemeralContainers": [{"name": "e"}]}, "ephemeralContainers"),
    "host-port": (container(ports=[{"containerPort": 80, "hostPort": 80}]), "ports[0].hostPort"),
    "host-ip": (container(ports=[{"containerPort": 80, "hostIP": "0.0.0.0"}]), "ports[0].hostIP"),
    "probe-elsewhere": (container(livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}), "httpGet.host"),
    "hook-elsewhere": (
        container(lifecycle={"preStop": {"httpGet": {"host": "10.0.0.1", "port": 80}}}), "preStop.httpGet.host",
    ),
    "device": (container(volumeDevices=[{"name": "v", "devicePath": "/dev/x"}]), "volumeDevices"),
    "host-path": (volume(hostPath={"path": "/"}), "volumes[v].hostPath"),
    "secret-volume": (volume(secret={"secretName": "s"}), "volumes[v].secret"),
    "projected-secret": (volume(projected={"sources": [{"secret": {"name": "s"}}]}), "projected.sources[0].secret"),
    "nfs": (volume(nfs={"server": "10.0.0.1", "path": "/"}), "volumes[v].nfs"),
    "csi": (volume(csi={"driver": "secrets-store.csi.k8s.io"}), "volumes[v].csi"),
    "secret-variable": (container(env=[{"name": "A", **SECRET}]), "valueFrom.secretKeyRef"),
    "secret-variables": (container(envFrom=[{"secretRef": {"name": "s"}}]), "envFrom[0].secretRef"),
}  # fmt: skip
"""Name of the case to the overlay and what the refusal names."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_widen_a_pod_is_refused_by_its_path_and_the_list_is_told(name: str) -> None:
    overlay, named = REFUSED[name]
    found = problem(overlay)
    assert found is not None
    assert found.reason == "OverlayRefused"
    assert found.message.startswith("podTemplate.overlay.")
    assert named in found.message
    assert "The operator's setting overlay=safe admits at the pod containers, initContainers" in found.message
    assert problem(overlay, ANY) is None, "`any` is the API server's business"


@pytest.mark.parametrize("settings", [SETTINGS, ANY], ids=["safe", "any"])
@pytest.mark.parametrize(
    ("overlay", "named"),
    [
        ({"containers": {"name": "reranker"}}, "containers: "),
        ({"containers": {}}, "containers: {}"),
        ({"containers": None}, "containers: None"),
        ({"containers": [{"image": "x"}]}, "containers[0] (it has no name)"),
        (container(env=[{"name": {"a": "b"}, "value": "1"}]), "containers[0].env[0] (it has no name)"),
        (container(env=["A=1"]), "containers[0].env[0] (it has no name)"),
        (container(ports=[{"containerPort": 80, "name": {"a": "b"}}]), "containers[0].ports[0].name: "),
        (container(volumeMounts=[{"name": "v"}]), "volumeMounts[0] (it has no mountPath)"),
    ],
)
def test_an_overlay_that_cannot_be_merged_is_refused_by_its_path(
    overlay: dict, named: str, settings: Any
) -> None:
    found = problem(overlay, settings)
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert named in found.message


@pytest.mark.parametrize("name", ADMITTED)
def test_what_keeps_to_the_restricted_profile_is_admitted(name: str) -> None:
    """tests/cluster/test_platform.py has a namespace with the restricted level admit the same."""
    assert problem(ADMITTED[name]) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "reranker", "v"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_an_overlay_holds_there_is_a_verdict_and_what_is_admitted_can_be_rendered(
    overlay: dict,
) -> None:
    for allowed in (SETTINGS, ANY):
        gpu = resource_of(model={"uri": HUB}, gpu={}, podTemplate={"overlay": overlay})
        look(gpu, settings=allowed)
        look(resource_of(podTemplate={"overlay": overlay}), settings=allowed)


def test_off_admits_no_overlay_and_says_so() -> None:
    found = problem({"hostAliases": []}, OFF)
    assert found is not None
    assert "switched off by the operator's setting overlay=off" in found.message
    assert find_problem(reranker(), OFF) is None


def test_a_container_that_an_overlay_adds_is_restricted_where_it_does_not_say() -> None:
    said = {
        "name": "told",
        "image": "t",
        "securityContext": {"runAsUser": 7, "capabilities": {"add": ["CHOWN"]}},
    }
    overlay = {"containers": [{"name": "side", "image": "s"}], "initContainers": [said]}
    pod = settle(resource_of(podTemplate={"overlay": overlay}), ANY).children["Deployment", "demo"]["spec"][
        "template"
    ]
    side = next(item for item in pod["spec"]["containers"] if item["name"] == "side")
    assert side["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (init,) = pod["spec"]["initContainers"]
    assert init["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert init["securityContext"]["runAsUser"] == 7


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"scheduling": {"priorityClassName": "system-node-critical"}},
            "scheduling.priorityClassName: system-",
        ),
        (
            {"cache": {"download": {"podTemplate": {"priorityClassName": "system-cluster-critical"}}}},
            "cache.download.podTemplate.priorityClassName",
        ),
        (
            {
                "podTemplate": {
                    "annotations": {"container.apparmor.security.beta.kubernetes.io/reranker": "unconfined"}
                }
            },
            "takes a restriction off",
        ),
    ],
)
def test_other_fields_widen_a_pod_no_more_than_the_overlay_does(spec: dict, words: str) -> None:
    found = find_problem(reranker(**spec), SETTINGS)
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert words in found.message
    assert find_problem(reranker(**spec), ANY) is None


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("http://prometheus.monitoring:9090", True),
        ("thanos.monitoring:9090", True),
        ("http://169.254.169.254/latest", False),
        ("http://prometheus.monitoring@evil.example/", False),
        ("http://ours:9090", True),
    ],
)
def test_keda_asks_only_a_prometheus_that_the_platform_admits(address: str, passes: bool) -> None:
    platform = msgspec.structs.replace(
        SETTINGS,
        allowed_prometheus_hosts=("prometheus.monitoring", "thanos.monitoring"),
        prometheus_address="http://ours:9090",
    )
    spec = {"autoscaling": {"engine": "KEDA", "maxReplicas": 3, "prometheusAddress": address}}
    found = find_problem(reranker(**spec), platform)
    assert (found is None) is passes
    if found:
        assert found.message.startswith(f"autoscaling.prometheusAddress: {address} is at none of the hosts")
    assert find_problem(reranker(**spec), SETTINGS) is None, "without the setting every host will do"
