"""What the operator's role lets it do, whose the CRD and the Lease are."""

from pathlib import Path

import pytest
import yaml
from chart.helm import CHARTS, CI, needs_helm, only, operator, template

pytestmark = needs_helm


@pytest.mark.parametrize(("chart", "values"), [entry for entry in CI if entry.values[0] == "podium"])
def test_the_operator_may_do_no_more_than_it_must(chart: str, values: Path) -> None:
    roles = [body for body in template(chart, "-f", values) if body["kind"] in ("Role", "ClusterRole")]
    for rule in (rule for role in roles for rule in role["rules"]):
        assert not {"*", "escalate", "bind", "impersonate"} & {*rule["verbs"], *rule["resources"]}
        assert "secrets" not in rule["resources"]


def test_with_namespaces_the_operator_has_roles_in_them_and_none_for_the_cluster() -> None:
    values = {"watchNamespaces": ["team-a", "team-b"], "rbac": {"aggregate": False}}
    objects = template("podium", values=values)
    kinds = {body["kind"] for body in objects}
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds
    roles = [body["metadata"]["namespace"] for body in objects if body["kind"] == "Role"]
    assert roles == ["podium-system", "team-a", "team-b"], "the first is for the Lease"
    bindings = [body for body in objects if body["kind"] == "RoleBinding"]
    assert {binding["subjects"][0]["namespace"] for binding in bindings} == {"podium-system"}


def test_both_modes_grant_the_same_rules() -> None:
    everywhere = next(
        body
        for body in template("podium", values={"rbac": {"aggregate": False}})
        if body["kind"] == "ClusterRole"
    )
    objects = template("podium", values={"watchNamespaces": ["team-a"], "rbac": {"aggregate": False}})
    here = next(body for body in objects if body["metadata"].get("namespace") == "team-a")
    assert everywhere["rules"] == here["rules"]


@pytest.mark.parametrize(
    ("addon", "group"),
    [
        pytest.param("keda", "keda.sh", id="keda"),
        pytest.param("serviceMonitors", "monitoring.coreos.com", id="service-monitors"),
    ],
)
def test_an_addon_that_is_off_is_not_in_the_role(addon: str, group: str) -> None:
    for on in (True, False):
        objects = template("podium", values={"addons": {addon: on}, "rbac": {"aggregate": False}})
        rules = only(objects, "ClusterRole")["rules"]
        assert any(group in rule["apiGroups"] for rule in rules) is on


def test_the_crd_stays_at_uninstall_unless_told_otherwise() -> None:
    policy = "helm.sh/resource-policy"
    assert only(template("podium"), "CustomResourceDefinition")["metadata"]["annotations"] == {policy: "keep"}
    gone = only(template("podium", values={"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in gone["metadata"]


def test_the_crd_of_the_release_is_the_manifest_with_labels() -> None:
    rendered = only(template("podium"), "CustomResourceDefinition")
    manifest = yaml.safe_load((CHARTS.parent / "manifests" / "crd.yaml").read_text())
    assert rendered["spec"] == manifest["spec"]
    assert rendered["metadata"]["name"] == manifest["metadata"]["name"]


@pytest.mark.parametrize("namespaces", [[], ["team-a"]], ids=["everywhere", "namespaced"])
def test_the_lease_is_the_releases_own_and_the_one_thing_that_is_read_by_name(namespaces: list[str]) -> None:
    objects = template("podium", values={"watchNamespaces": namespaces})
    (role,) = [body for body in objects if body["metadata"]["name"] == "podium-operator-lease"][:1]
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    own = {**leases, "resourceNames": ["podium-operator"], "verbs": ["get", "update"]}
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "podium-system")
    assert role["rules"] == [{**leases, "verbs": ["create"]}, own]
    environment = {variable["name"]: variable for variable in operator(objects)["env"]}
    assert environment["PODIUM_OPERATOR_LEASE"]["value"] == "podium-system/podium-operator"
    assert environment["PODIUM_OPERATOR_HOLDER"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
