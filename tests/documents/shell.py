"""Run the shell blocks of a page, in order and in one folder, as a reader does."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from documents.blocks import ROOT, Block, check_output

LINKED = ("charts", "manifests", "docs", "service", "tests", "Makefile")
PATIENCE_S = 300


def run_blocks(
    blocks: Iterable[Block],
    how: str,
    folder: Path,
    *,
    replace: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    programs: Path | None = None,
) -> None:
    """Run those blocks of a page that `how` runs, and compare what they print with what the page says.

    They see the repository's folders in an otherwise empty one, and `programs` before those of the PATH.
    Raises AssertionError where one fails.
    """
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if programs is not None:
        path = f"{programs}:{path}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")}
    printed: str | None = None
    for block in blocks:
        if block.how == "prints":
            if printed is not None:
                check_output(block, printed)
            continue
        printed = None
        if block.how != how:
            continue
        script = block.text
        for word, other in (replace or {}).items():
            script = script.replace(word, other)
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**clean, **(environment or {}), "PATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{block.name} ended with {ended.returncode}:\n{said}"
        printed = ended.stdout
