"""What an image holds, and under which licences: CycloneDX 1.6, and a table to read."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).parents[2]
LOCKS = {
    "operator": ["operator/requirements.txt"],
    "service-cpu": ["service/requirements.txt", "service/requirements-torch-cpu.txt"],
    "service": ["service/requirements.txt", "service/requirements-torch-cuda.txt"],
}
"""The locks that each target of the Dockerfile is made from."""

# Printed where the packages are: here, or in an image that was built.
PROBE = r"""
import importlib.metadata, json, pathlib, re
status, found = pathlib.Path("/var/lib/dpkg/status"), []
for each in importlib.metadata.distributions():
    data = each.metadata
    named = re.findall("^License :: .* :: (.*)$", "\n".join(data.get_all("Classifier", [])), re.M)
    first = (data.get("License") or "").partition("\n")[0]
    licence = data.get("License-Expression") or " AND ".join(named) or first
    found.append(["pypi", re.sub("[-_.]+", "-", data["Name"]).lower(), each.version, licence])
for paragraph in status.read_text().split("\n\n") if status.exists() else []:
    fields = dict(re.findall(r"^(Package|Version): (.*)$", paragraph, re.M))
    if "install ok installed" in paragraph:
        name = fields["Package"]
        found.append(["deb", name, fields["Version"], f"/usr/share/doc/{name}/copyright"])
print(json.dumps(found))
"""


class Part(NamedTuple):
    """One package: `kind` is pypi or deb; `licence` is empty where it is not known."""

    kind: str
    name: str
    version: str
    licence: str

    @property
    def purl(self) -> str:
        """Its package URL."""
        space = "deb/debian" if self.kind == "deb" else self.kind
        return f"pkg:{space}/{quote(self.name)}@{quote(self.version)}"


def probed(command: Iterable[str] = (sys.executable,)) -> list[Part]:
    """Return the packages that a Python sees, with those of its Debian."""
    done = subprocess.run([*command, "-c", PROBE], check=True, capture_output=True, text=True)  # noqa: S603
    return [Part(*each) for each in json.loads(done.stdout)]


def held(target: str, inside: list[Part] | None, version: str) -> list[Part]:
    """Return the parts of an image: what is `inside`, else what its locks name.

    Licences are then those that are known here, of packages of the same version.
    """
    if inside is not None:
        return sorted(set(inside))
    text = "".join((ROOT / lock).read_text() for lock in LOCKS[target])
    known = {(part.name, part.version): part.licence for part in probed() if part.kind == "pypi"}
    pins = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    own = Part("pypi", "podium-rerank", version, "Apache-2.0")
    return sorted([own, *(Part("pypi", name, pin, known.get((name, pin), "")) for name, pin in pins)])


def cyclonedx(image: str, parts: list[Part], timestamp: str) -> dict[str, Any]:
    """Return the bill of materials of an image; `timestamp` in UTC, 2026-11-27T12:00:00Z."""
    name, _, version = image.rpartition(":")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "component": {"type": "container", "bom-ref": image, "name": name, "version": version},
        },
        "components": [_component(part) for part in parts],
    }


def table(image: str, parts: list[Part]) -> str:
    """Return the licences of an image as lines: name, version, licence."""
    head = (
        f"Licences of what {image} holds. Their texts lie in the image: in /opt/podium, in the folder\n"
        "*.dist-info of each package, and below /usr/share/doc. The service's built-in model is Apache-2.0;\n"
        "docs/builtin-model.md names the texts that it was trained on.\n\n"
    )
    return head + "".join(f"{part.name} {part.version}\t{part.licence or 'not known'}\n" for part in parts)


def _component(part: Part) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
    }
    if part.kind == "pypi" and part.licence:
        component["licenses"] = [{"license": {"name": part.licence}}]
    return component
