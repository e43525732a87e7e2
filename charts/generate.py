"""Write what follows from other files: `python charts/generate.py`; a test holds the results current.

- `charts/podium/files/crd.yaml`: manifests/crd.yaml, byte for byte (a chart cannot read outside its folder)
- `charts/*/README.md`: the table of values, from the comments in values.yaml
- `charts/podium/dashboards/*.json`: Grafana's dashboards, from the tables in `charts/dashboards/`
- `manifests/operator.yaml`: the chart with its defaults, for people without Helm (needs `helm` on the PATH)
- the version of pyproject.toml, wherever charts, manifests and documents name it
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "charts"))  # a script's own folder, also where a test loads it

from dashboards.fleet import FLEET  # noqa: E402
from dashboards.operator import OPERATOR  # noqa: E402
from dashboards.panels import to_grafana  # noqa: E402
from dashboards.service import SERVICE  # noqa: E402

CHARTS = ("podium", "podium-rerankers")
NAMESPACE = "podium-system"
_BEGIN, _END = "<!-- values: made by charts/generate.py -->\n", "<!-- end of values -->\n"
# An image's tag, a chart's versions, a tag in Terraform.
_VERSIONED = re.compile(
    r"(podium-rerank/podium(?:-operator)?:|^(?:version|appVersion): |\btag += \")\d+\.\d+\.\d+", re.MULTILINE
)
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w-]*):")


class Value(NamedTuple):
    """One value: its path (`image.tag`), its default, and the comment above it."""

    path: str
    default: Any
    description: str


def values(chart: str) -> list[Value]:
    """Return the values of a chart, in the order of its values.yaml.

    A key with a comment above it is a value, and all that lies below it is its default; a key without one is
    a group of values. Raises ValueError for a leaf that has no comment and is in no such value.
    """
    path = ROOT / "charts" / chart / "values.yaml"
    defaults = yaml.safe_load(path.read_text())
    found: list[Value] = []
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        match = _KEY.match(line)
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip().removeprefix("#").strip())
            continue
        if match:
            indent = len(match["indent"])
            parents = [*(parent for parent in parents if parent[0] < indent), (indent, match["key"])]
            name = ".".join(key for _, key in parents)
            default = defaults
            for _, key in parents:
                default = default[key]
            covered = any(name.startswith(f"{value.path}.") for value in found)
            if comment:
                found.append(Value(name, default, " ".join(comment)))
            elif not covered and not (isinstance(default, dict) and default):
                raise ValueError(f"{path}: `{name}` has no comment above it")
        comment = []
    return found


def values_table(chart: str) -> str:
    """Return the values of a chart as a Markdown table."""
    rows = [
        f"| `{value.path}` | {value.description.replace('|', chr(92) + '|')} | `{_inline(value.default)}` |"
        for value in values(chart)
    ]
    return "\n".join(["| Value | Meaning | Default |", "|---|---|---|", *rows]) + "\n"


def readme(chart: str) -> str:
    """Return the README of a chart with its table of values."""
    text = (ROOT / "charts" / chart / "README.md").read_text()
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    return before + _BEGIN + values_table(chart) + _END + after


def chart_crd() -> str:
    """Return the CRD as the chart carries it."""
    return (ROOT / "manifests" / "crd.yaml").read_text()


def dashboards() -> dict[Path, str]:
    """Return the file of each dashboard."""
    folder = ROOT / "charts" / "podium" / "dashboards"
    return {
        folder / f"{each.name}.json": json.dumps(to_grafana(each), indent=2) + "\n"
        for each in (SERVICE, FLEET, OPERATOR)
    }


def operator_manifest(helm: str = "helm") -> str:
    """Return the namespace and the chart's objects, without the CRD."""
    command = [helm, "template", "podium", str(ROOT / "charts" / "podium"), "--namespace", NAMESPACE]
    rendered = subprocess.run(  # noqa: S603
        [*command, "--no-hooks", "--set", "crds.enabled=false"], check=True, capture_output=True, text=True
    ).stdout
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    objects = [namespace, *(body for body in yaml.safe_load_all(rendered) if body)]
    for body in objects:
        for labels in _labels(body):
            labels.pop("helm.sh/chart", None)
            if "app.kubernetes.io/managed-by" in labels:
                labels["app.kubernetes.io/managed-by"] = "kubectl"
    head = (
        "# The operator without Helm, made from charts/podium by `python charts/generate.py`:\n"
        "#   kubectl apply --server-side -f manifests/crd.yaml -f manifests/operator.yaml\n"
    )
    return head + yaml.safe_dump_all(objects, sort_keys=False, width=110, explicit_start=True)


def versioned() -> dict[Path, str]:
    """Return every file that names the version, with that of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    places = ("README.md", "charts/*/Chart.yaml", "manifests/**/*.yaml", "docs/**/*.md")
    texts = {path: path.read_text() for place in places for path in sorted(ROOT.glob(place))}
    return {
        path: _VERSIONED.sub(rf"\g<1>{version}", text)
        for path, text in texts.items()
        if _VERSIONED.search(text)
    }


def generated(helm: str = "helm") -> dict[Path, str]:
    """Return every generated file with the text that it should have."""
    texts = versioned()
    texts |= {ROOT / "charts" / chart / "README.md": readme(chart) for chart in CHARTS}
    texts[ROOT / "charts" / "podium" / "files" / "crd.yaml"] = chart_crd()
    texts |= dashboards()
    texts[ROOT / "manifests" / "operator.yaml"] = operator_manifest(helm)
    return texts


def _labels(body: dict[str, Any]) -> list[dict[str, str]]:
    template = (body.get("spec") or {}).get("template", {}).get("metadata", {})
    return [part["labels"] for part in (body["metadata"], template) if "labels" in part]


def _inline(default: Any) -> str:
    if default == "":
        return '""'
    return yaml.safe_dump(default, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


if __name__ == "__main__":
    # The version first: the manifest is rendered from the chart that has it.
    for make in (versioned, generated):
        for path, text in make().items():
            path.write_text(text)
