"""What is made from other files is current, and what is said twice says the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.helm import CHARTS, find, needs_helm, only, template

from podium_operator.resource.crd import crd_yaml
from podium_operator.settings import FIELDS, read_settings, variable


def test_the_crd_of_the_chart_is_the_generators() -> None:
    assert (CHARTS / "podium" / "files" / "crd.yaml").read_text() == crd_yaml(), "python charts/generate.py"


@needs_helm
def test_every_generated_file_is_current(generate: Any) -> None:
    program = find()
    assert program is not None
    for path, text in generate.generated(program).items():
        assert path.read_text() == text, f"{path} is not current: run `python charts/generate.py`"


def test_the_version_of_pyproject_stands_wherever_one_is_named(generate: Any) -> None:
    for path, text in generate.versioned().items():
        assert path.read_text() == text, f"{path} names another version: run `make generate`"


@pytest.mark.parametrize("chart", ["podium", "podium-rerankers"])
def test_every_value_is_described_and_in_the_schema(chart: str, generate: Any) -> None:
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    described = {value.path for value in generate.values(chart)}
    assert set(paths(schema, schema)) >= described
    for group in (schema, *groups(schema, schema)):
        assert group.get("additionalProperties") is False or "additionalProperties" in group
    # `enabled` is the condition by which a chart above takes this one, which hands it on.
    assert set(schema["properties"]) - {"global", "enabled"} == set(defaults) - {"global"}


def test_what_artifact_hub_is_told_is_so() -> None:
    chart = yaml.safe_load((CHARTS / "podium" / "Chart.yaml").read_text())
    told = {
        name.removeprefix("artifacthub.io/"): yaml.safe_load(text)
        for name, text in chart["annotations"].items()
    }
    values = yaml.safe_load((CHARTS / "podium" / "values.yaml").read_text())
    version, service = chart["appVersion"], values["rerankerImage"]["repository"]
    operator = f"{values['image']['repository']}:{version}"
    images = {operator, f"{service}:{version}-cpu", f"{service}:{version}"}
    assert {each["image"] for each in told["images"]} == images
    crd = yaml.safe_load(crd_yaml())
    (known,) = told["crds"]
    assert (known["name"], known["kind"]) == (crd["metadata"]["name"], crd["spec"]["names"]["kind"])
    assert known["version"] == crd["spec"]["versions"][0]["name"]
    assert told["crdsExamples"] == [
        yaml.safe_load((CHARTS.parent / "manifests" / "examples" / "cpu.yaml").read_text())
    ]
    icon = chart["icon"].partition("/main/")[2]
    assert (CHARTS.parent / icon).exists()


@needs_helm
def test_every_setting_of_the_operator_has_a_value_that_sets_it() -> None:
    """Host and port are the pod's own: probes and monitors ask there."""
    full = CHARTS / "podium" / "ci" / "full-values.yaml"
    objects = template("podium", "-f", full)
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {item["name"]: item.get("value", "from-the-pod") for item in container["env"]}
    assert {variable(name) for name in FIELDS if name not in ("http_host", "http_port")} <= set(environment)
    settings = read_settings(environment)
    assert settings.workers == 16
    assert settings.image_pull_secrets == ("registry", "mirror")
    assert settings.keda


def paths(schema: dict[str, Any], root: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of every property of a schema of values."""
    for name, inner in resolve(schema, root).get("properties", {}).items():
        yield prefix + name
        yield from paths(inner, root, f"{prefix}{name}.")


def groups(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schema of every group of values."""
    for inner in schema.get("properties", {}).values():
        group = resolve(inner, root)
        if "properties" in group:
            yield group
            yield from groups(group, root)


def resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference into `definitions`."""
    reference = schema.get("$ref")
    return root["definitions"][Path(reference).name] if reference else schema
