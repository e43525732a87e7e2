"""The version stands in pyproject.toml; what a release needs to be true of the tree, and how one begins."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNRELEASED = "## [Unreleased]"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def version(root: Path = ROOT) -> str:
    """Return the version that the tree has."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def section(changelog: str, heading: str) -> str | None:
    """Return what stands below a heading of the second level that begins so; None where there is none."""
    found = re.search(rf"^{re.escape(heading)}.*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    return found[1].strip() if found else None


def git(*arguments: str, root: Path = ROOT) -> str:
    """Return what git prints."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def stale(root: Path = ROOT) -> list[Path]:
    """Return the files that name another version than pyproject.toml."""
    spec = importlib.util.spec_from_file_location("generate", root / "charts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return [path for path, text in generate.versioned().items() if path.read_text() != text]


def problems(root: Path = ROOT) -> list[str]:
    """Return what keeps the tree from being released, a sentence each."""
    found, wanted = [], version(root)
    changelog = (root / "CHANGELOG.md").read_text()
    notes = section(changelog, f"## [{wanted}] - ")
    if notes is None:
        make = f".venv/bin/python .ci/release cut {wanted}"
        found.append(f"CHANGELOG.md has no section {wanted}: `{make}` makes it")
    elif "### Upgrade" not in notes:
        found.append(f"CHANGELOG.md says nothing under `### Upgrade` for {wanted}")
    if notes is not None and section(changelog, UNRELEASED):
        found.append(f"CHANGELOG.md has entries under Unreleased, which {wanted} would hold and not tell")
    found += [f"{path.relative_to(root)} names another version: run `make generate`" for path in stale(root)]
    if git("status", "--porcelain", root=root):
        found.append(
            "the tree has changes that are not committed: no one could build the same from the commit"
        )
    return found


def cut(wanted: str, date: str, root: Path = ROOT) -> None:
    """Make what is unreleased the section of a version, of this date (2026-11-27), and set the version.

    Raises ValueError where that cannot be released.
    """
    path = root / "CHANGELOG.md"
    changelog = path.read_text()
    if not _VERSION.fullmatch(wanted):
        raise ValueError(f"{wanted} is no version: three numbers, as Helm and PyPI both read them")
    released = [_numbers(each) for each in re.findall(r"^## \[([\d.]+)\]", changelog, re.MULTILINE)]
    if released and _numbers(wanted) <= max(released):
        raise ValueError(f"{wanted} does not come after what CHANGELOG.md has")
    if "### Upgrade" not in (section(changelog, UNRELEASED) or ""):
        raise ValueError(
            "CHANGELOG.md says nothing under `### Upgrade`: what an upgrade changes, or that it is nothing"
        )
    path.write_text(changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{wanted}] - {date}", 1))
    project = root / "pyproject.toml"
    text = re.sub(
        r'^version = ".*"$', f'version = "{wanted}"', project.read_text(), count=1, flags=re.MULTILINE
    )
    project.write_text(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
