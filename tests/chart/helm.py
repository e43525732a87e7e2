"""Helm itself, called as a user calls it."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).parents[2] / "charts"
VERSION = tomllib.loads((CHARTS.parent / "pyproject.toml").read_text())["project"]["version"]

CI = [
    pytest.param(path.parents[1].name, path, id=f"{path.parents[1].name}-{path.stem.removesuffix('-values')}")
    for path in sorted(CHARTS.glob("*/ci/*-values.yaml"))
]
"""A chart and values for it: every configuration that is supported."""


def find() -> str | None:
    """Return the path of `helm`, from KUBEBUILDER_ASSETS or the PATH."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    found = shutil.which("helm", path=folder) if folder else None
    return found or shutil.which("helm")


needs_helm = pytest.mark.skipif(
    find() is None, reason="needs Helm 3.17 or later: put `helm` on the PATH or into KUBEBUILDER_ASSETS"
)


class Refused(Exception):
    """Helm ended with an error; the text is what it said."""


def helm(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run Helm and return what it printed; Refused where it fails."""
    program = find()
    assert program is not None
    command = [program, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def template(chart: str | Path, *arguments: str | Path, values: dict[str, Any] | None = None) -> list[Any]:
    """Return the objects of a chart in a release `podium` in `podium-system`."""
    given = ["-f", "-"] if values is not None else []
    stdin = None if values is None else yaml.safe_dump(values)
    text = helm("template", "podium", CHARTS / chart, "-n", "podium-system", *given, *arguments, stdin=stdin)
    return [body for body in yaml.safe_load_all(text) if body]


def only(objects: list[Any], kind: str) -> Any:
    """Return the one object of a kind."""
    (found,) = [body for body in objects if body["kind"] == kind]
    return found


def operator(objects: list[Any]) -> Any:
    """Return the operator's container."""
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container
