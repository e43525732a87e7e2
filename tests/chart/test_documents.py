"""The operator's documents name what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from chart.helm import CHARTS

from podium_operator.resource.remedies import REMEDIES

ROOT = CHARTS.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("reason", sorted(REMEDIES))
def test_operations_says_what_a_reason_means(reason: str) -> None:
    assert f"`{reason}`" in OPERATIONS.partition("## Reasons")[2]


@pytest.mark.parametrize("document", ["docs/operations.md", "docs/terraform.md"])
def test_every_path_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = re.findall(r"(?:manifests|charts|docs|tests)/[\w./-]*\w", text)
    links = [ROOT / "docs" / link for link in re.findall(r"\]\(([^)#]+)", text)]
    missing = [path for path in [*map(ROOT.joinpath, named), *links] if not path.exists()]
    assert not missing


def test_every_value_that_operations_sets_is_one_of_the_charts() -> None:
    for path in set(re.findall(r"`((?:crds|rbac|addons|rerankerImage)\.[\w.]+)", OPERATIONS)):
        assert is_value_of_the_chart(path), path


def is_value_of_the_chart(path: str) -> bool:
    here = yaml.safe_load((CHARTS / "podium" / "values.yaml").read_text())
    for key in path.split("."):
        if key not in here:
            return False
        here = here[key]
    return True


@pytest.mark.parametrize(("profile", "target"), [("kind", "service-cpu"), ("gpu", "service")])
def test_skaffold_builds_installs_applies_and_forwards_what_there_is(profile: str, target: str) -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    chosen = next(each for each in config["profiles"] if each["name"] == profile)
    for patch in chosen["patches"]:
        *above, last = patch["path"].strip("/").split("/")
        here = config
        for key in above:
            here = here[int(key) if isinstance(here, list) else key]
        assert (last in here) == (patch["op"] == "replace")
        here[last] = patch["value"]

    images = {artifact["image"]: artifact["docker"]["target"] for artifact in config["build"]["artifacts"]}
    assert images == {"podium-operator": "operator", "podium": target}
    assert set(images.values()) <= set(re.findall(r" AS (\S+)", (ROOT / "Dockerfile").read_text()))

    (release,) = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").exists()
    for path, template in release["setValueTemplates"].items():
        assert is_value_of_the_chart(path), path
        image = re.fullmatch(r"\{\{\.IMAGE_(?:REPO|TAG)_(\w+)\}\}", template)
        assert image is not None
        assert image[1].replace("_", "-") in images

    device = {"service-cpu": "auto", "service": "cuda"}[target]
    assert release["setValues"] == {"rerankerImage.gpu.device": device}
    assert is_value_of_the_chart("rerankerImage.gpu.device")

    (hook,) = config["deploy"]["helm"]["hooks"]["after"]
    example = yaml.safe_load((ROOT / hook["host"]["command"][-1].split(" -f ")[1]).read_text())
    (forward,) = chosen["portForward"]
    assert forward["resourceName"] == example["metadata"]["name"]


@pytest.mark.skipif(shutil.which("terraform") is None, reason="needs `terraform` on the PATH")
def test_the_terraform_example_is_formatted_as_terraform_does(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "terraform.md").read_text()
    example = text.split("```hcl\n")[1].split("```")[0]
    (tmp_path / "main.tf").write_text(example)
    command = ["terraform", "fmt", "-check", "-diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
