"""The images: built for each processor that the builder has, named by digest ever after."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml
from version import ROOT


class Image(NamedTuple):
    """One image: its target in the Dockerfile, its name with the tag, the processors that it is for."""

    target: str
    name: str
    platforms: list[str]


class Builder(NamedTuple):
    """What builds: the processors that it builds for, and the base image by its digest."""

    platforms: set[str]
    base: str


def images() -> list[Image]:
    """Return the images as the chart tells Artifact Hub of them."""
    annotations = yaml.safe_load((ROOT / "charts/podium/Chart.yaml").read_text())["annotations"]
    told = yaml.safe_load(annotations["artifacthub.io/images"])
    return [Image(each["name"], each["image"], each["platforms"]) for each in told]


def docker(*arguments: str) -> str:
    """Return what docker prints; its progress goes to the terminal. Raises CalledProcessError."""
    command = ["docker", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def find_builder() -> Builder | str:
    """Return the builder, or the sentence that says why there is none."""
    if shutil.which("docker") is None:
        return "no images: there is no docker"
    (tag,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    try:
        said = docker("buildx", "inspect", "--bootstrap")
        manifest = json.loads(
            docker("buildx", "imagetools", "inspect", tag, "--format", "{{json .Manifest}}")
        )
    except subprocess.CalledProcessError:
        return "no images: docker has no buildx, no builder, or no way to the registry of the base image"
    platforms = set(re.findall(r"linux/\w+", " ".join(re.findall(r"^Platforms:.*$", said, re.MULTILINE))))
    return Builder(platforms, f"{tag}@{manifest['digest']}")


def build(image: Image, platforms: list[str], arguments: dict[str, str], to: Path | None) -> str:
    """Build an image with its provenance and return its digest, that of all processors together.

    It goes into an archive in the folder `to`, or with None to its registry. `arguments`: the Dockerfile's.
    """
    output = ["--push"]
    if to is not None:
        output = ["--output", f"type=oci,dest={to / image.name.rpartition('/')[2].replace(':', '-')}.oci.tar"]
    with tempfile.NamedTemporaryFile() as metadata:
        where = [
            "--platform",
            ",".join(platforms),
            "--metadata-file",
            metadata.name,
            "--provenance",
            "mode=max",
        ]
        docker("buildx", "build", *_what(image, arguments), "--tag", image.name, *where, *output, ".")
        return str(json.loads(Path(metadata.name).read_text())["containerimage.digest"])


def python_inside(image: Image, arguments: dict[str, str]) -> list[str]:
    """Return the command that runs Python in an image, built for this machine from layers that are there."""
    name = f"podium-release-{image.target}"
    docker("buildx", "build", "--load", *_what(image, arguments), "--tag", name, ".")
    return ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", name]


def pinned(text: str, digests: dict[str, str]) -> str:
    """Return a manifest in which each image has its digest behind its tag; `digests` by name with the tag."""
    for name, digest in digests.items():
        text = re.sub(rf"{re.escape(name)}(?![\w.@-])", f"{name}@{digest}", text)
    return text


def values(operator: str, cpu: str, gpu: str) -> str:
    """Return the chart's values that name the images by digest."""
    tree = {"image": {"digest": operator}, "rerankerImage": {"digest": cpu, "gpu": {"digest": gpu}}}
    return yaml.safe_dump(tree, sort_keys=False)


def _what(image: Image, arguments: dict[str, str]) -> list[str]:
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    return ["--target", image.target, *given]
