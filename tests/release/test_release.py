"""A release of a copy of the tree, with a docker that only remembers what it was asked for."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from chart.helm import VERSION, find, needs_helm, only, template

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "charts", "docs", "manifests", "operator", "service")
TREE = (*FOLDERS, "pyproject.toml", "CHANGELOG.md", "README.md", "Dockerfile", "LICENSE", ".gitignore")
UNRELEASED = """## [Unreleased]

### Added
- Something.

### Upgrade
- Nothing to do.

## [0.0.1] - 2026-01-01
"""
NEXT = "99.0.0"
BASE = "sha256:" + "b" * 64
DOCKER = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
words = sys.argv[1:]
with open(os.environ["ASKED"], "a") as asked:
    asked.write(json.dumps(words) + "\\n")
if words[:2] == ["buildx", "inspect"]:
    print("Name: default\\nPlatforms: " + os.environ["PLATFORMS"])
elif words[:2] == ["buildx", "imagetools"]:
    print(json.dumps({{"digest": "{BASE}"}}))
elif "--metadata-file" in words:
    target = words[words.index("--target") + 1]
    digest = "sha256:" + target.encode().hex().ljust(64, "0")
    metadata = pathlib.Path(words[words.index("--metadata-file") + 1])
    metadata.write_text(json.dumps({{"containerimage.digest": digest}}))
elif words[0] == "run":
    sys.exit(subprocess.run([sys.executable, *words[words.index("-c"):]]).returncode)
"""


class Tree(NamedTuple):
    """A copy of the repository with a program folder of its own."""

    root: Path
    programs: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `.ci/release` with these programs alone."""
        given = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
        given |= {"PATH": str(self.programs), "ASKED": str(self.programs / "asked")}
        return subprocess.run(
            [sys.executable, ".ci/release", *command],
            cwd=self.root,
            env={**given, "PLATFORMS": "linux/amd64*, linux/arm64", **environment},
            capture_output=True,
            text=True,
        )

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True)

    @property
    def asked(self) -> list[list[str]]:
        """What docker was asked for."""
        return [json.loads(line) for line in (self.programs / "asked").read_text().splitlines()]

    @property
    def out(self) -> Path:
        return self.root / "build" / "release"


def copied(folder: Path) -> Tree:
    """Return a copy without the model's weights, whose changelog has something unreleased."""
    pytest.importorskip("hatchling", reason="needs hatchling: pip install -e '.[dev]'")
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git on the PATH")
    copy = Tree(folder / "tree", folder / "programs")
    copy.programs.mkdir()
    (copy.programs / "git").symlink_to(git)
    copy.root.mkdir()
    for name in TREE:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
            shutil.copytree(ROOT / name, copy.root / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy.root / name)
    changelog = copy.root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().partition("## [Unreleased]")[0] + UNRELEASED)
    copy.git("init", "--quiet")
    return copy


def cut(tree: Tree) -> Tree:
    """Cut a version, commit it, and lay a docker beside it."""
    assert tree.run("cut", NEXT).returncode == 0
    stamp = "import generate; [path.write_text(text) for path, text in generate.versioned().items()]"
    subprocess.run([sys.executable, "-c", stamp], cwd=tree.root / "charts", check=True)
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--message", "cut")
    docker = tree.programs / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    if (helm := find()) is not None:
        (tree.programs / "helm").symlink_to(helm)
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return copied(tmp_path)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Return a tree with a release in it."""
    tree = cut(copied(tmp_path_factory.mktemp("released")))
    ended = tree.run("make", "--push")
    assert ended.returncode == 0, ended.stderr
    missing = [line for line in ended.stdout.splitlines() if line.startswith(("left out", "no release"))]
    assert missing == ([] if find() else ["left out: no charts: there is no helm"])
    return tree


def test_a_cut_dates_what_is_unreleased_and_sets_the_version(tree: Tree) -> None:
    assert tree.run("cut", NEXT).returncode == 0
    assert f'\nversion = "{NEXT}"\n' in (tree.root / "pyproject.toml").read_text()
    changelog = (tree.root / "CHANGELOG.md").read_text()
    assert re.search(
        rf"## \[Unreleased\]\n\n## \[{NEXT}\] - \d{{4}}-\d\d-\d\d\n\n### Added\n- Something", changelog
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        pytest.param("0.0.1", "does not come after", id="again"),
        pytest.param("v1.0", "is no version", id="other-form"),
    ],
)
def test_a_version_that_cannot_be_next_is_refused(tree: Tree, wanted: str, said: str) -> None:
    before = (tree.root / "CHANGELOG.md").read_text()
    ended = tree.run("cut", wanted)
    assert (ended.returncode, said in ended.stderr) == (1, True)
    assert (tree.root / "CHANGELOG.md").read_text() == before


def test_a_version_without_a_note_on_upgrades_is_refused(tree: Tree) -> None:
    changelog = tree.root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("### Upgrade", "### Fixed"))
    assert "### Upgrade" in tree.run("cut", NEXT).stderr


def test_a_tree_that_is_not_ready_is_not_released_but_rehearsed(tree: Tree) -> None:
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--message", "as it is")
    chart = tree.root / "charts" / "podium" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"version: {VERSION}", "version: 98.0.0"))
    reasons = [
        f"CHANGELOG.md has no section {VERSION}",
        "charts/podium/Chart.yaml names another version",
        "the tree has changes that are not committed",
    ]
    refused, rehearsed = tree.run("make"), tree.run("make", "--dry-run")
    assert (refused.returncode, rehearsed.returncode) == (1, 0), rehearsed.stderr
    for reason in reasons:
        assert reason in refused.stderr
        assert reason in rehearsed.stdout
    for missing in ("no images", "no charts", "no digests in the manifests"):
        assert f"left out: {missing}" in rehearsed.stdout
    assert len(list(tree.out.glob("podium_rerank-*"))) == 2


def test_a_release_has_everything_and_its_checksums(released: Tree) -> None:
    for line in (released.out / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((released.out / name).read_bytes()).hexdigest() == digest
    assert "Something." in (released.out / "NOTES.md").read_text()
    names = {path.name for path in released.out.iterdir()}
    packages = {f"podium_rerank-{NEXT}-py3-none-any.whl", f"podium_rerank-{NEXT}.tar.gz"}
    manifests = {"crd.yaml", "operator.yaml", "service.yaml", "compose.yaml", "digests.yaml"}
    bills = {f"podium-{NEXT}.cdx.json", f"podium-{NEXT}-cpu.cdx.json", f"podium-operator-{NEXT}.cdx.json"}
    assert names >= packages | manifests | bills


@needs_helm
def test_the_charts_are_packaged_with_the_version(released: Tree) -> None:
    for name in ("podium", "podium-rerankers"):
        with tarfile.open(released.out / f"{name}-{NEXT}.tgz") as archive:
            chart = archive.extractfile(f"{name}/Chart.yaml")
            assert chart is not None
            assert yaml.safe_load(chart)["appVersion"] == NEXT


def test_images_are_built_on_a_base_by_digest_and_named_by_digest(released: Tree) -> None:
    builds = [words for words in released.asked if "--metadata-file" in words]
    platforms = {words[words.index("--target") + 1]: words[words.index("--platform") + 1] for words in builds}
    both = "linux/amd64,linux/arm64"
    assert platforms == {"operator": both, "service-cpu": both, "service": "linux/amd64"}
    for words in builds:
        assert f"PYTHON_IMAGE=python:3.11-slim-bookworm@{BASE}" in words
        assert f"VERSION={NEXT}" in words
        assert {"--push", "--provenance"} <= set(words)
    images = re.findall(r"ghcr\.io/podium-rerank/\S+", (released.out / "operator.yaml").read_text())
    assert len(images) == 3
    assert all(re.search(rf":{NEXT}(-cpu)?@sha256:[0-9a-f]{{64}}$", image) for image in images)


@needs_helm
def test_the_chart_takes_the_images_by_digest(released: Tree) -> None:
    deployment = only(template("podium", "-f", released.out / "digests.yaml"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    for image, target in (
        (container["image"], "operator"),
        (told["PODIUM_OPERATOR_RERANKER_IMAGE"], "service-cpu"),
        (told["PODIUM_OPERATOR_RERANKER_GPU_IMAGE"], "service"),
    ):
        assert image.endswith("@sha256:" + target.encode().hex().ljust(64, "0"))


def test_a_bill_names_what_was_found_in_the_image_and_its_licences(released: Tree) -> None:
    bill = json.loads((released.out / f"podium-{NEXT}-cpu.cdx.json").read_text())
    torch = next(each for each in bill["components"] if each["name"] == "torch")
    assert torch["purl"].startswith("pkg:pypi/torch@")
    assert "BSD-3-Clause" in torch["licenses"][0]["license"]["name"]
    licences = (released.out / f"podium-{NEXT}-cpu.licences.txt").read_text()
    assert re.search(r"^msgspec \S+\tBSD-3-Clause$", licences, re.MULTILINE)
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="needs pip-audit: pip install -e '.[dev]'"
    )
    schema = pytest.importorskip("cyclonedx.schema").SchemaVersion.V1_6
    assert validation.JsonStrictValidator(schema).validate_str(json.dumps(bill)) is None


def test_a_processor_that_the_builder_lacks_is_left_out_and_named(tree: Tree) -> None:
    ended = cut(tree).run("make", PLATFORMS="linux/amd64")
    assert ended.returncode == 0, ended.stderr
    left_out = re.findall(r"left out: no (\S+) for (\S+):", ended.stdout)
    image = "ghcr.io/podium-rerank/podium"
    assert left_out == [(f"{image}-operator:{NEXT}", "linux/arm64"), (f"{image}:{NEXT}-cpu", "linux/arm64")]
