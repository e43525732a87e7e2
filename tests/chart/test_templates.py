"""The charts as Helm renders them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.helm import CHARTS, CI, VERSION, Refused, helm, needs_helm, only, operator, template

pytestmark = needs_helm


@pytest.mark.parametrize(("chart", "values"), CI)
def test_a_supported_configuration_lints_strictly_and_renders(chart: str, values: Path) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", CHARTS / chart, "-f", values)
    objects = template(chart, "-f", values)
    names = [(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in objects]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("chart", ["podium", "podium-rerankers"])
def test_a_chart_above_may_switch_it_on_by_the_usual_condition(chart: str) -> None:
    assert template(chart, values={"enabled": True}) == template(chart)


def test_a_namespace_of_digits_stays_a_string() -> None:
    values = {"watchNamespaces": ["123"], "rbac": {"aggregate": False}, "monitoringNamespace": "456"}
    objects = template("podium", values={**values, "networkPolicy": {"operator": {"enabled": True}}})
    assert "123" in {body["metadata"].get("namespace") for body in objects}
    [policy] = [body for body in objects if body["kind"] == "NetworkPolicy"]
    assert "'kubernetes.io/metadata.name': '456'" in str(policy["spec"]["ingress"])


@pytest.mark.parametrize("chart", ["podium", "podium-rerankers"])
def test_names_that_yaml_reads_as_something_else_stay_strings(chart: str) -> None:
    values = (
        {"rerankers": [{"name": "true", "spec": {"model": {"uri": "builtin"}}}]}
        if chart == "podium-rerankers"
        else {}
    )
    objects = template(chart, "-n", "123", values=values)
    assert {type(body["metadata"].get("namespace", "")) for body in objects} == {str}
    assert {type(body["metadata"]["name"]) for body in objects} == {str}


@pytest.mark.parametrize(("chart", "values"), CI)
def test_the_notes_name_the_next_step(chart: str, values: Path) -> None:
    arguments = ["install", "podium", CHARTS / chart, "-n", "search", "--dry-run=client", "-f", values]
    notes = helm(*arguments).split("NOTES:")[1]
    expected = "in `rerankers`" if "default" in values.name and chart == "podium-rerankers" else "kubectl"
    assert expected in notes


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"imagee": {}}, "imagee", id="unknown-value"),
        pytest.param({"image": {"tagg": "1"}}, "tagg", id="unknown-value-in-a-group"),
        pytest.param({"image": {"tag": 1.10}}, "/image/tag", id="tag-as-a-number"),
        pytest.param({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy", id="pull-policy"),
        pytest.param({"watchNamespaces": "team-a"}, "/watchNamespaces", id="namespaces-as-a-string"),
        pytest.param({"watchNamespaces": ["Team"]}, "/watchNamespaces/0", id="namespace-in-capitals"),
        pytest.param({"log": {"level": "trace"}}, "/log/level", id="log-level"),
        pytest.param({"settings": {"wokers": 3}}, "wokers", id="unknown-setting"),
        pytest.param({"settings": {"workers": 0}}, "/settings/workers", id="setting-out-of-range"),
        pytest.param({"otlpEndpoint": "collector:4318"}, "/otlpEndpoint", id="address-without-scheme"),
        pytest.param({"crds": {"keep": "yes"}}, "/crds/keep", id="switch-as-a-string"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match=re.escape(field)):
        template("podium", values=values)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"reranker": []}, "reranker", id="unknown-value"),
        pytest.param({"rerankers": [{"name": "x"}]}, "spec", id="no-spec"),
        pytest.param({"rerankers": [{"name": "x", "spec": {}}]}, "model", id="no-model"),
        pytest.param({"rerankers": [{"name": "X", "spec": {"model": {}}}]}, "/name", id="name-in-capitals"),
        pytest.param(
            {"rerankers": [{"name": "x" * 48, "spec": {"model": {}}}]}, "/name", id="name-of-48-characters"
        ),
    ],
)
def test_a_reranker_that_cannot_work_is_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match=re.escape(field)):
        template("podium-rerankers", values=values)


@pytest.mark.parametrize("chart", ["podium", "podium-rerankers"])
def test_a_chart_serves_as_a_dependency_with_globals(chart: str, tmp_path: Path) -> None:
    dependency = {"name": chart, "version": VERSION, "repository": f"file://{CHARTS / chart}"}
    parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent))
    own = {"commonLabels": {"team": "search"}}
    if chart == "podium-rerankers":
        own |= {"rerankers": [{"name": "small", "spec": {"model": {"uri": "builtin"}}}]}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"global": {"imageRegistry": "r"}, chart: own}))
    helm("dependency", "build", tmp_path)
    objects = template(tmp_path)
    assert objects
    assert all(body["metadata"]["labels"]["team"] == "search" for body in objects)


@pytest.mark.parametrize(
    ("value", "empty"),
    [
        ("networkPolicy.except", []),
        ("networkPolicy.dns", []),
        ("watchNamespaces", []),
        ("allowedPrometheusHosts", []),
        ("rerankerImage.pullSecrets", []),
        ("rerankerPods.podSecurityContext", {}),
        ("rerankerPods.securityContext", {}),
        ("settings", {}),
        ("podLabels", {}),
        ("commonLabels", {}),
    ],
)
def test_a_list_or_a_map_that_null_switches_off_is_empty(value: str, empty: Any) -> None:
    null, none = (f"{value}={json.dumps(given)}" for given in (None, empty))
    assert template("podium", "--set-json", null) == template("podium", "--set-json", none)


def test_the_images_that_users_name_reach_the_operator() -> None:
    images = {
        "image": {"repository": "r/operator", "tag": "1"},
        "rerankerImage": {"repository": "r/podium", "tag": "2", "gpu": {"repository": "r/cuda", "tag": "3"}},
    }
    container = operator(template("podium", values=images))
    assert container["image"] == "r/operator:1"
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["PODIUM_OPERATOR_RERANKER_IMAGE"] == "r/podium:2"
    assert environment["PODIUM_OPERATOR_RERANKER_GPU_IMAGE"] == "r/cuda:3"


def test_the_gpu_image_is_the_other_tag_of_the_same_repository_by_default() -> None:
    container = operator(template("podium", values={"rerankerImage": {"repository": "r/podium"}}))
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["PODIUM_OPERATOR_RERANKER_IMAGE"] == f"r/podium:{VERSION}-cpu"
    assert environment["PODIUM_OPERATOR_RERANKER_GPU_IMAGE"] == f"r/podium:{VERSION}"


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("repository", "registry", "image"),
    [
        pytest.param("ghcr.io/a/b", "", "ghcr.io/a/b", id="none"),
        pytest.param("ghcr.io/a/b", "r.example.com/mirror/", "r.example.com/mirror/a/b", id="in-its-place"),
        pytest.param("localhost/a", "r:5000", "r:5000/a", id="localhost"),
        pytest.param("host:5000/a", "r", "r/a", id="port"),
        pytest.param("a/b", "r", "r/a/b", id="a-repository-without-registry"),
    ],
)
def test_a_registry_for_all_stands_in_place_of_each_images_own(
    repository: str, registry: str, image: str
) -> None:
    pulled = {"repository": repository, "digest": DIGEST}
    values = {
        "global": {"imageRegistry": registry},
        "image": {**pulled, "tag": "1"},
        "rerankerImage": {**pulled, "gpu": {"digest": DIGEST}},
    }
    container = operator(template("podium", values=values))
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["image"] == f"{image}@{DIGEST}", "a digest stands in place of the tag"
    assert environment["PODIUM_OPERATOR_RERANKER_IMAGE"] == f"{image}@{DIGEST}"
    assert environment["PODIUM_OPERATOR_RERANKER_GPU_IMAGE"] == f"{image}@{DIGEST}"


def test_a_name_of_ones_own_is_in_every_name_and_selector() -> None:
    objects = template(
        "podium", values={"nameOverride": "rank", "networkPolicy": {"operator": {"enabled": True}}}
    )
    deployment = only(objects, "Deployment")
    assert deployment["metadata"]["name"] == "podium-rank"
    selected = {"app.kubernetes.io/name": "rank", "app.kubernetes.io/instance": "podium"}
    assert deployment["spec"]["selector"]["matchLabels"] == selected
    assert only(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == selected
    assert only(template("podium"), "Deployment")["metadata"]["name"] == "podium-operator"


def test_extra_objects_are_templates_of_the_release() -> None:
    extra = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "{{ .Release.Name }}-extra"},
        "data": {"image": '{{ include "podium.image" . }}'},
    }
    made = only(template("podium", values={"extraObjects": [extra, extra | {"kind": "Secret"}]}), "ConfigMap")
    assert made["metadata"]["name"] == "podium-extra"
    assert made["data"]["image"].startswith("ghcr.io/podium-rerank/podium-operator:")


def test_the_operators_policy_lets_in_who_scrapes_and_out_to_dns_and_the_api_server() -> None:
    policies = {"operator": {"enabled": True, "apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}}
    policy = only(
        template("podium", values={"networkPolicy": policies, "monitoringNamespace": "m"}), "NetworkPolicy"
    )
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    (scraped,) = policy["spec"]["ingress"]
    assert scraped["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "m"}
    dns, server = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert server == {"to": policies["operator"]["apiServer"], "ports": [{"port": 443}, {"port": 6443}]}
    assert not [body for body in template("podium") if body["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("namespaces", [[], ["team-a"]], ids=["everywhere", "namespaced"])
def test_helm_test_asks_a_reranker_that_the_operator_looks_after(namespaces: list[str]) -> None:
    objects = template("podium", values={"watchNamespaces": namespaces, "rbac": {"aggregate": False}})
    hooks = {
        body["kind"]: body for body in objects if "helm.sh/hook" in body["metadata"].get("annotations", {})
    }
    assert set(hooks) == {"Reranker", "Pod"}
    where = namespaces[0] if namespaces else "podium-system"
    assert {body["metadata"]["namespace"] for body in hooks.values()} == {where}
    assert {body["metadata"]["annotations"]["helm.sh/hook"] for body in hooks.values()} == {"test"}
    (container,) = hooks["Pod"]["spec"]["containers"]
    assert f"http://{hooks['Reranker']['metadata']['name']}.{where}.svc/v2/rerank" in container["args"][0]
    assert container["image"] == f"ghcr.io/podium-rerank/podium:{VERSION}-cpu"


def test_the_operators_pods_are_restricted_and_may_be_two() -> None:
    deployment = only(template("podium", values={"replicas": 2}), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"] == {"type": "RollingUpdate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_the_charts_own_labels_win_over_the_users() -> None:
    ours = {"app.kubernetes.io/name": "mine"}
    deployment = only(template("podium", values={"commonLabels": ours, "podLabels": ours}), "Deployment")
    selected = deployment["spec"]["selector"]["matchLabels"]
    assert selected["app.kubernetes.io/name"] == "podium-operator"
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
