"""The charts on a real API server: installed, upgraded, uninstalled, installed again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.helm import CHARTS, Refused, helm
from cluster.harness import ADMIN, ControlPlane, wait_for

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rerankers.podium.sh"
MANIFESTS = CHARTS.parent / "manifests"
Helm = Callable[..., str]


@pytest.fixture
def release(plane: ControlPlane) -> Iterator[Helm]:
    """Return Helm on that server; afterwards no release, no Reranker and no CRD is left."""
    kubeconfig = str(plane.kubeconfig(ADMIN))

    def on_server(*arguments: str | Path) -> str:
        return helm(*arguments, "--kubeconfig", kubeconfig)

    yield on_server
    for left in json.loads(on_server("list", "-A", "-o", "json")):
        on_server("uninstall", left["name"], "-n", left["namespace"])
    plane.raw("DELETE", CRD)
    wait_for("the CRD is gone", lambda: plane.get(CRD) is None)


def install(release: Helm, *more: str, namespace: str = "podium-system", chart: str = "podium") -> str:
    """Install as the README says."""
    name = "podium" if chart == "podium" else "models"
    return release("install", name, CHARTS / chart, "-n", namespace, "--create-namespace", *more)


def reranker(plane: ControlPlane, namespace: str = "default") -> Any:
    """Return the Reranker `small`."""
    return plane.get(f"/apis/podium.sh/v1alpha1/namespaces/{namespace}/rerankers/small")


def make_reranker(plane: ControlPlane) -> Any:
    """Apply a small Reranker when the API server knows the kind."""
    body = {"apiVersion": "podium.sh/v1alpha1", "kind": "Reranker", "metadata": {"name": "small"}}
    wait_for("the kind is served", lambda: plane.get("/apis/podium.sh/v1alpha1"))
    return plane.apply({**body, "spec": {"model": {"uri": "builtin"}}}, namespace="default")


def test_uninstalling_leaves_the_rerankers_and_the_same_release_takes_them_up_again(
    plane: ControlPlane, release: Helm
) -> None:
    install(release)
    uid = make_reranker(plane)["metadata"]["uid"]
    said = release("uninstall", "podium", "-n", "podium-system")
    assert "rerankers.podium.sh" in said, "Helm says what it keeps"
    assert reranker(plane)["metadata"]["uid"] == uid
    install(release)
    assert reranker(plane)["metadata"]["uid"] == uid


def test_another_namespace_takes_the_kept_crd_over_only_when_told_to(
    plane: ControlPlane, release: Helm
) -> None:
    install(release)
    uid = make_reranker(plane)["metadata"]["uid"]
    release("uninstall", "podium", "-n", "podium-system")
    with pytest.raises(Refused, match="invalid ownership metadata"):
        install(release, namespace="elsewhere")
    install(release, "--take-ownership", namespace="elsewhere")
    assert reranker(plane)["metadata"]["uid"] == uid
    annotations = plane.get(CRD)["metadata"]["annotations"]
    assert annotations["meta.helm.sh/release-namespace"] == "elsewhere"


def test_a_crd_that_was_applied_by_hand_is_left_alone(plane: ControlPlane, release: Helm) -> None:
    plane.apply(yaml.safe_load((MANIFESTS / "crd.yaml").read_text()))
    with pytest.raises(Refused, match="invalid ownership metadata"):
        install(release)
    notes = install(release, "--set", "crds.enabled=false")
    assert "Apply manifests/crd.yaml before" in notes
    release("uninstall", "podium", "-n", "podium-system")
    assert "labels" not in plane.get(CRD)["metadata"]


def test_without_keep_the_crd_goes_with_the_release(plane: ControlPlane, release: Helm) -> None:
    notes = install(release, "--set", "crds.keep=false")
    assert "`helm uninstall` deletes the CustomResourceDefinition" in notes
    release("uninstall", "podium", "-n", "podium-system")
    wait_for("the CRD is gone", lambda: plane.get(CRD) is None)


def test_an_upgrade_keeps_the_previous_values(plane: ControlPlane, release: Helm) -> None:
    install(release, "--set", "image.tag=v1,log.level=debug")
    kept = ("-n", "podium-system", "--reset-then-reuse-values")
    release("upgrade", "podium", CHARTS / "podium", *kept, "--set", "image.tag=v2")
    (container,) = deployment(plane)["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith("/podium-operator:v2")
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["PODIUM_OPERATOR_LOG_LEVEL"] == "debug"
    assert plane.get(CRD) is not None


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(path, id=path.stem.removesuffix("-values"))
        for path in sorted((CHARTS / "podium" / "ci").glob("*-values.yaml"))
        if "full" not in path.name  # its monitors need an API that is not there
    ],
)
def test_a_supported_configuration_installs(plane: ControlPlane, release: Helm, values: Path) -> None:
    for name in ("team-a", "team-b"):
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    install(release, "-f", str(values))
    assert deployment(plane)["spec"]["template"]["spec"]["enableServiceLinks"] is False
    for namespace in ("team-a", "team-b"):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/podium-operator"
        assert (plane.get(path) is not None) is ("namespaced" in values.name)


def test_what_helm_test_makes_is_taken_by_a_restricted_namespace(plane: ControlPlane, release: Helm) -> None:
    install(release)
    wait_for("the kind is served", lambda: plane.get("/apis/podium.sh/v1alpha1"))
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "restricted", "labels": labels}
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    # What a controller manager would have made by now.
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    plane.apply(account, namespace="restricted")
    hooks = list(yaml.safe_load_all(release("get", "hooks", "podium", "-n", "podium-system")))
    assert sorted(body["kind"] for body in hooks) == ["Pod", "Reranker"]
    for body in hooks:
        body["metadata"]["namespace"] = "restricted"
        assert plane.apply(body, namespace="restricted")["metadata"]["uid"]


def test_models_come_and_go_with_a_release_of_their_own(plane: ControlPlane, release: Helm) -> None:
    install(release)
    values = str(CHARTS / "podium-rerankers" / "ci" / "two-values.yaml")
    install(release, "-f", values, namespace="search", chart="podium-rerankers")
    assert reranker(plane, "search")["spec"] == {"model": {"uri": "builtin"}}
    release("uninstall", "models", "-n", "search")
    wait_for("they are gone", lambda: reranker(plane, "search") is None)


@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        pytest.param("view", "list", "rerankers", True, id="view-lists"),
        pytest.param("view", "create", "rerankers", False, id="view-makes-none"),
        pytest.param("edit", "create", "rerankers", True, id="edit-makes"),
        pytest.param("edit", "patch", "rerankers/scale", True, id="edit-scales"),
        pytest.param("edit", "patch", "rerankers/status", False, id="edit-writes-no-status"),
        pytest.param("admin", "delete", "rerankers", True, id="admin-deletes"),
    ],
)
def test_the_clusters_roles_learn_about_rerankers(
    plane: ControlPlane, release: Helm, role: str, verb: str, resource: str, allowed: bool
) -> None:
    plane.start_controller_manager()  # it aggregates roles
    install(release)
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "User", "name": f"the-{role}", "apiGroup": group}
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": group}
    binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": f"the-{role}"}}
    plane.apply({**binding, "roleRef": reference, "subjects": [subject]}, namespace="default")
    plural, _, part = resource.partition("/")
    attributes = {"namespace": "default", "verb": verb, "group": "podium.sh", "resource": plural}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"the-{role}", "resourceAttributes": {**attributes, "subresource": part}},
    }

    def answer() -> bool:
        made = plane.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(made["status"]["allowed"])

    if allowed:
        wait_for(f"{role} may {verb} {resource}", answer)
    else:
        assert not answer()


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in sorted((MANIFESTS / "examples").glob("*.yaml"))]
)
def test_an_example_is_accepted_as_it_stands(plane: ControlPlane, release: Helm, path: Path) -> None:
    install(release)
    wait_for("the kind is served", lambda: plane.get("/apis/podium.sh/v1alpha1"))
    namespace = f"example-{path.stem}"
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for body in yaml.safe_load_all(path.read_text()):
        plane.apply(body, namespace=namespace)


def test_the_manifests_without_helm_are_accepted_as_they_stand(plane: ControlPlane, release: Helm) -> None:
    for name in ("crd", "operator", "service"):
        for body in yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text()):
            plane.apply(body, namespace=body["metadata"].get("namespace", "default"))
    assert deployment(plane) is not None
    plane.raw("DELETE", "/apis/apps/v1/namespaces/podium-system/deployments/podium-operator")


def deployment(plane: ControlPlane) -> Any:
    """Return the operator's Deployment."""
    return plane.get("/apis/apps/v1/namespaces/podium-system/deployments/podium-operator")
