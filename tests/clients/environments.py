"""Virtual environments of the clients, one per set that installs together, outside the service's own."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"


class CannotBuild(Exception):
    """The packages of a set could not be installed; says why."""


def python_of(requirements: Path, cache: Path = CACHE) -> Path:
    """Return the interpreter of a set's environment, built first where it is not there or not current.

    Raises CannotBuild, with pip's own reason: no registry is reachable, or a version is gone from it.
    """
    folder = cache / requirements.stem
    built_for = folder / "built-for"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    python = folder / "bin" / "python"
    if not built_for.exists() or built_for.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run("venv", "--without-pip", str(folder))
        # Everything is pinned, so that there is nothing to resolve.
        _run("pip", "--python", str(python), "install", "--no-deps", "--retries=1", "-r", str(requirements))
        built_for.write_text(wanted)
    return python


def _run(module: str, *arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip() or "no word of why").splitlines()
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise CannotBuild(f"python -m {module} ended with {ended.returncode}: {reason}")
