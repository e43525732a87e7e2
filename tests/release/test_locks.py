"""The locks name what pyproject.toml asks for, each file by its hash, and the images install nothing else."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
OWN = PYPROJECT["project"]["dependencies"]
LOCKS = [
    *ROOT.glob("service/requirements*.txt"),
    ROOT / "operator/requirements.txt",
    ROOT / ".ci/requirements.txt",
]
ENTRY = re.compile(r"([\w.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)\n")


def pins(*paths: str) -> dict[str, str]:
    """Return the version of each package that these locks name."""
    return {name: version for path in paths for name, version, _ in ENTRY.findall((ROOT / path).read_text())}


@pytest.mark.parametrize("lock", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in LOCKS])
def test_a_lock_has_packages_by_version_and_hash_and_nothing_else(lock: Path) -> None:
    text = lock.read_text()
    assert text.startswith("# Made by `make lock`.\n")
    assert ENTRY.sub("", text.partition("\n")[2]) == ""


@pytest.mark.parametrize(
    ("wanted", "locks"),
    [
        pytest.param(
            OWN + EXTRAS["service"],
            ["service/requirements.txt", "service/requirements-torch-cpu.txt"],
            id="cpu",
        ),
        pytest.param(
            OWN + EXTRAS["service"],
            ["service/requirements.txt", "service/requirements-torch-cuda.txt"],
            id="cuda",
        ),
        pytest.param(OWN + EXTRAS["operator"], ["operator/requirements.txt"], id="operator"),
        pytest.param(PYPROJECT["build-system"]["requires"], ["service/requirements-build.txt"], id="build"),
        pytest.param(
            OWN + [each for name in ("service", "operator", "docs", "dev") for each in EXTRAS[name]],
            [".ci/requirements.txt", "service/requirements-torch-cpu.txt"],
            id="ci",
        ),
    ],
)
def test_a_lock_satisfies_what_pyproject_asks_for(wanted: list[str], locks: list[str]) -> None:
    found = pins(*locks)
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name == PYPROJECT["project"]["name"]:
            continue
        version = found.get(canonicalize_name(requirement.name), "0")
        assert version in requirement.specifier, f"{text}: run `make lock`"


def test_both_builds_of_torch_are_one_version_and_ci_tests_what_the_images_hold() -> None:
    cpu, cuda = pins("service/requirements-torch-cpu.txt"), pins("service/requirements-torch-cuda.txt")
    assert cpu == {"torch": f"{cuda['torch']}+cpu"}
    tested = pins(".ci/requirements.txt")
    for lock in ("service/requirements.txt", "operator/requirements.txt", "service/requirements-build.txt"):
        assert pins(lock).items() <= tested.items(), f"{lock}: run `make lock`"


def test_the_images_install_only_what_a_lock_names_and_the_wheel() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    installs = [part for line in lines for part in line.split("&&") if re.search(r"\bpip\b.* install ", part)]
    assert len(installs) == 6
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "/wheels/*.whl" in command
