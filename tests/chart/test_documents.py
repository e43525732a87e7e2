"""The operator's documents name what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from chart.helm import CHARTS

from podium_operator.remedies import REMEDIES

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
    values = yaml.safe_load((CHARTS / "podium" / "values.yaml").read_text())
    for path in set(re.findall(r"`((?:crds|rbac|addons|rerankerImage)\.[\w.]+)", OPERATIONS)):
        here = values
        for key in path.split("."):
            assert key in here, path
            here = here[key]


@pytest.mark.skipif(shutil.which("terraform") is None, reason="needs `terraform` on the PATH")
def test_the_terraform_example_is_formatted_as_terraform_does(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "terraform.md").read_text()
    example = text.split("```hcl\n")[1].split("```")[0]
    (tmp_path / "main.tf").write_text(example)
    command = ["terraform", "fmt", "-check", "-diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
