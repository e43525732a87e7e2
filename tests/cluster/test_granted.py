"""What the API server makes of our words is no drift: it drops, defaults, and admission rewrites."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import AUDIT_USER, OperatorProcess
from cluster.space import Space

SIDE = {"name": "side", "image": "side:1"}


def overlay(**spec: Any) -> dict[str, Any]:
    return {"podTemplate": {"overlay": spec}}


def sidecar(**container: Any) -> dict[str, Any]:
    return overlay(containers=[{**SIDE, **container}])


def main(**container: Any) -> dict[str, Any]:
    return overlay(containers=[{"name": "reranker", **container}])


SPECS: dict[str, dict[str, Any]] = {
    "empty-env-value": {"engine": {"env": [{"name": "EMPTY", "value": ""}]}},
    "empty-setting": {"engine": {"settings": {"cors_origins": ""}}},
    "no-host-network": overlay(hostNetwork=False),
    "no-host-pid": overlay(hostPID=False),
    "no-host-ipc": overlay(hostIPC=False),
    "null": overlay(hostname=None),
    "null-in-container": main(workingDir=None),
    "empty-list": overlay(hostAliases=[]),
    "empty-command": main(command=[]),
    "empty-map": overlay(nodeSelector={}),
    "empty-string": overlay(hostname=""),
    "cpu-as-a-number": main(resources={"requests": {"cpu": 0.5}}),
    "cpu-as-words": {"engine": {"resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}}},
    "memory-in-thousands": {"engine": {"resources": {"limits": {"memory": "2000000k"}}}},
    "port-without-protocol": sidecar(ports=[{"containerPort": 9000}]),
    "two-ports-without-protocol": sidecar(ports=[{"containerPort": 9000}, {"containerPort": 9001}]),
    "probe-with-zeros": sidecar(
        livenessProbe={"httpGet": {"port": 9000, "path": "/"}, "initialDelaySeconds": 0}
    ),
    "port-by-words": sidecar(readinessProbe={"tcpSocket": {"port": 9000}, "successThreshold": 0}),
    "secret-volume": overlay(volumes=[{"name": "extra", "secret": {"secretName": "s", "optional": False}}]),
    "empty-dir-with-size": overlay(volumes=[{"name": "extra", "emptyDir": {"sizeLimit": "1024Mi"}}]),
    "empty-dir-of-nothing": overlay(volumes=[{"name": "extra", "emptyDir": {"medium": ""}}]),
    "projected": overlay(
        volumes=[{"name": "extra", "projected": {"sources": [{"configMap": {"name": "c", "items": []}}]}}]
    ),
    "host-aliases": overlay(hostAliases=[{"ip": "127.0.0.1", "hostnames": ["a", "b"]}]),
    "dns": overlay(dnsConfig={"options": [{"name": "ndots", "value": "2"}], "searches": []}),
    "share-no-processes": overlay(shareProcessNamespace=False),
    "empty-annotation": {"podTemplate": {"annotations": {"note": ""}}},
    "service-annotation": {"service": {"annotations": {"lb": ""}}},
    "empty-toleration-value": {
        "scheduling": {"tolerations": [{"key": "a", "operator": "Exists", "value": ""}]}
    },
    "seconds-of-toleration": {
        "scheduling": {
            "tolerations": [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 0}
            ]
        }
    },
    "empty-affinity": {"scheduling": {"affinity": {"podAntiAffinity": {}}}},
    "min-domains": {
        "scheduling": {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "rack",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {}},
                }
            ]
        }
    },
    "env-from": {"engine": {"envFrom": [{"prefix": "", "configMapRef": {"name": "c", "optional": False}}]}},
    "field-reference": {
        "engine": {"env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
    },
    "ingress-peer": {
        "networkPolicy": {"enabled": True, "ingressFrom": [{"namespaceSelector": {"matchLabels": {}}}]}
    },
}  # fmt: skip
"""What each Reranker asks for beside the built-in model."""
MUTATED = "mutated"
"""Label of a namespace whose Deployments, Services and accounts a mutating admission policy rewrites."""


@pytest.fixture
def quick(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator looking at everything every second, whatever its overlay says."""
    before = dict(operator.settings)
    operator.restart(PODIUM_OPERATOR_RESYNC_S="1", PODIUM_OPERATOR_OVERLAY="any")
    yield operator
    operator.settings.clear()
    operator.restart(**before)


@pytest.fixture
def mutated(plane: ControlPlane, space: Space) -> Iterator[Space]:
    """A namespace in which admission rewrites what is applied: an image, a number, a label, an annotation."""
    group = "admissionregistration.k8s.io/v1"
    kinds = {resource["kind"] for resource in plane.request("GET", f"/apis/{group}")["resources"]}
    if "MutatingAdmissionPolicy" not in kinds:
        pytest.skip("needs MutatingAdmissionPolicy in v1: KUBEBUILDER_ASSETS of Kubernetes 1.36 have it")
    container = "object.spec.template.spec.containers[0]"
    rules = [
        (["apps"], ["deployments"], f"""
            [JSONPatch{{op: "replace", path: "/spec/template/spec/containers/0/image",
                        value: "mirror.example/" + {container}.image.split("/")[
                            size({container}.image.split("/")) - 1]}},
             JSONPatch{{op: "replace", path: "/spec/template/spec/terminationGracePeriodSeconds", value: 77}},
             JSONPatch{{op: "add", path: "/metadata/labels/app.kubernetes.io~1managed-by", value: "us"}}]"""),
        ([""], ["services"], """
            [JSONPatch{op: "add", path: "/metadata/annotations/podium.sh~1applied", value: "other"},
             JSONPatch{op: "replace", path: "/spec/ports/0/targetPort", value: 8080}]"""),
    ]  # fmt: skip
    made = []
    for number, (groups, resources, expression) in enumerate(rules):
        metadata = {"name": f"rewrite-{number}"}
        policy = {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {MUTATED: "yes"}},
                    "resourceRules": [
                        {
                            "apiGroups": groups,
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": resources,
                        }
                    ],
                },
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
            },
        }
        binding = {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": metadata["name"]},
        }
        for manifest in (policy, binding):
            plane.apply(manifest)
            made.append(plane.path_of(manifest))
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": space.name, "labels": {MUTATED: "yes"}},
        }
    )

    def rewrites() -> bool:
        """Admission learns of a policy a little later."""
        probe = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe"}}
        probe["metadata"] = {"name": "probe", "annotations": {"podium.sh/applied": "x"}}
        probe["spec"] = {"ports": [{"port": 1, "targetPort": 1}]}
        answer = plane.apply(probe, namespace=space.name)
        space.delete("services", "probe")
        return bool(answer["spec"]["ports"][0]["targetPort"] == 8080)

    wait_for("the policy", rewrites)
    yield space
    for path in reversed(made):
        plane.request("DELETE", path)


def applies(space: Space, since: int) -> Counter[str]:
    """Return how often the operator applied each child in a namespace since a place in the log."""
    found: Counter[str] = Counter()
    for entry in space.plane.audit(since):
        reference = entry.get("objectRef", {})
        if (
            entry["user"]["username"] == AUDIT_USER
            and entry["verb"] == "patch"
            and reference.get("namespace") == space.name
            and not reference.get("subresource")
        ):
            found[f"{reference['resource']}/{reference['name']}"] += 1
    return found


def settled(space: Space, names: Any, since: int) -> None:
    """Wait until all are made; then look for a while whether anything is written again."""
    for name in names:
        space.wait("deployments", name, timeout_s=60)
        wait_for(f"status of {name}", lambda name=name: space.condition("Degraded", name)[0], timeout_s=60)
    time.sleep(8)


def test_whatever_the_server_makes_of_a_spec_takes_one_apply_and_no_condition(
    space: Space, quick: OperatorProcess
) -> None:
    assert len(SPECS) >= 25
    since = space.plane.audit_log.stat().st_size
    for name, spec in SPECS.items():
        space.rerank(name, **spec)
    settled(space, SPECS, since)
    again = {child: times for child, times in applies(space, since).items() if times > 1}
    assert again == {}
    told = {name: space.condition("Degraded", name) for name in SPECS}
    assert {name: words for name, words in told.items() if words[0] != "False"} == {}

    since = space.plane.audit_log.stat().st_size
    quick.restart()
    time.sleep(8)
    after = applies(space, since)
    assert set(after.values()) <= {1}, "one apply tells a new process what the server makes of it"
    assert 0 < len(after) < len(SPECS), "what is there in our words is not applied again"
    assert space.condition("Degraded", "empty-env-value")[0] == "False"


def test_what_admission_rewrites_is_left_and_what_someone_changes_there_is_put_right(
    mutated: Space, quick: OperatorProcess
) -> None:
    since = mutated.plane.audit_log.stat().st_size
    mutated.rerank()
    settled(mutated, ["demo"], since)
    pod = mutated.get("deployments")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "mirror.example/podium:test"
    assert pod["terminationGracePeriodSeconds"] == 77
    assert set(applies(mutated, since).values()) == {1}
    assert mutated.condition("Degraded")[0] == "False"

    mutated.patch("services", "demo", {"spec": {"type": "NodePort"}})
    wait_for("put right", lambda: mutated.get("services")["spec"]["type"] == "ClusterIP", timeout_s=10)
    time.sleep(3)
    assert applies(mutated, since)["services/demo"] == 2
    assert mutated.get("services")["spec"]["ports"][0]["targetPort"] == 8080

    mutated.rerank(engine={"maxLength": 256})
    wait_for(
        "the edit",
        lambda: "256" in str(mutated.get("deployments")["spec"]["template"]["spec"]["containers"][0]["env"]),
    )
    time.sleep(3)
    assert applies(mutated, since)["deployments/demo"] == 2
