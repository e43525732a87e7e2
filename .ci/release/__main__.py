"""All that is published, into build/release: `make release`; docs/release.md says how one releases.

    .venv/bin/python .ci/release cut VERSION     begin: the changelog's section, and pyproject.toml's version
    .venv/bin/python .ci/release make [--push]   wheel, sdist, charts, images, manifests, bills of materials
    .venv/bin/python .ci/release make --dry-run  what can be made of this tree without images

With --dry-run it says what is missing. What cannot be made here is left out and named at the end.
"""

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bom import cyclonedx, held, probed, table
from images import Image, build, find_builder, images, pinned, python_inside, values
from version import ROOT, UNRELEASED, cut, git, problems, section, version

OUT = ROOT / "build" / "release"
MANIFESTS = ("crd.yaml", "operator.yaml", "service.yaml", "compose.yaml")
CHARTS = ("podium", "podium-rerankers")


def packages() -> None:
    """Build the sdist, and the wheel from what lies in it."""
    for kind in ("sdist", "wheel"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(OUT)]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603


def charts() -> list[str]:
    """Package the charts; return what is left out."""
    helm = shutil.which("helm", path=os.environ.get("KUBEBUILDER_ASSETS")) or shutil.which("helm")
    if helm is None:
        return ["no charts: there is no helm"]
    for chart in CHARTS:
        subprocess.run([helm, "package", str(ROOT / "charts" / chart), "-d", str(OUT)], check=True)  # noqa: S603
    return []


def build_images(push: bool) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Return digests by target, the command for Python in each image, and what is left out."""
    builder = find_builder()
    if isinstance(builder, str):
        return {}, {}, [builder]
    arguments = {"PYTHON_IMAGE": builder.base, "VERSION": version(), "REVISION": git("rev-parse", "HEAD")}
    digests, inside, left_out = {}, {}, []
    for image in images():
        able = [each for each in image.platforms if each in builder.platforms]
        left_out += [
            f"no {image.name} for {each}: the builder has none"
            for each in image.platforms
            if each not in able
        ]
        if able:
            digests[image.target] = build(image, able, arguments, None if push else OUT)
            inside[image.target] = python_inside(image, arguments)
    return digests, inside, left_out


def write_manifests(digests: dict[str, str]) -> list[str]:
    """Write the manifests and the chart's values with the images' digests; return what is left out."""
    names = {image.name: digests[image.target] for image in images() if image.target in digests}
    for name in MANIFESTS:
        (OUT / name).write_text(pinned((ROOT / "manifests" / name).read_text(), names))
    if len(digests) < len(images()):
        return ["no digests in the manifests, and no digests.yaml, for images that are left out"]
    (OUT / "digests.yaml").write_text(values(digests["operator"], digests["service-cpu"], digests["service"]))
    return []


def write_bill(image: Image, inside: list[str] | None, timestamp: str) -> list[str]:
    """Write what an image holds, and the licences; return what is left out."""
    parts = held(image.target, probed(inside) if inside else None, version())
    stem = image.name.rpartition("/")[2].replace(":", "-")
    (OUT / f"{stem}.cdx.json").write_text(
        json.dumps(cyclonedx(image.name, parts, timestamp), indent=2) + "\n"
    )
    (OUT / f"{stem}.licences.txt").write_text(table(image.name, parts))
    unknown = sum(not part.licence for part in parts)
    left_out = (
        [] if inside else [f"in the bill of {image.name}: the base image's packages, as it was not built"]
    )
    return left_out + ([f"the licences of {unknown} packages of {image.name}"] if unknown else [])


def make(dry_run: bool, push: bool) -> None:
    """Make all. Exit 1 where the tree is not one to release, unless it is a rehearsal."""
    found = problems()
    if found and not dry_run:
        sys.exit("".join(f"no release: {each}\n" for each in found))
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    epoch = git("log", "-1", "--format=%ct")
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    packages()
    left_out = charts()
    digests, inside, missing = ({}, {}, ["no images: --dry-run"]) if dry_run else build_images(push)
    left_out += missing + write_manifests(digests)
    timestamp = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for image in images():
        left_out += write_bill(image, inside.get(image.target), timestamp)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    notes = section(changelog, f"## [{version()}] - ") or section(changelog, UNRELEASED) or ""
    (OUT / "NOTES.md").write_text(notes + "\n")
    made = sorted(path for path in OUT.iterdir() if path.is_file())
    sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in made)
    (OUT / "SHA256SUMS").write_text(sums)
    print(f"{OUT.relative_to(ROOT)}: {len(made)} files of {version()}")
    print(
        "".join(f"left out: {each}\n" for each in left_out)
        + "".join(f"no release: {each}\n" for each in found)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=".ci/release", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cut").add_argument("version")
    making = commands.add_parser("make")
    making.add_argument("--dry-run", action="store_true")
    making.add_argument("--push", action="store_true", help="images go to their registry, not into archives")
    given = parser.parse_args()
    if given.command == "make":
        return make(given.dry_run, given.push)
    try:
        cut(given.version, datetime.datetime.now(datetime.UTC).date().isoformat())
    except ValueError as error:
        sys.exit(str(error))
    print("now: make generate, then commit; docs/release.md goes on")


if __name__ == "__main__":
    main()
