"""Data that is not committed: unpacked once a run where it is at hand; else the test is skipped."""

import atexit
import functools
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("PODIUM_SHARED", Path(__file__).parents[3] / "shared"))
MODELS = "data/tokenizers-and-configs.tar.xz"


def unpacked(archive: str) -> Path:
    """Return a folder with what is in an archive such as `data/xquad-en.tar.xz`."""
    if not (FOLDER / archive).exists():
        pytest.skip(f"needs {archive}: set PODIUM_SHARED to the folder that holds it, now {FOLDER}")
    return _unpacked(FOLDER / archive)


@functools.cache
def _unpacked(archive: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="podium-shared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


def config(name: str) -> dict[str, Any]:
    """Return config.json of a real reranker, such as `qwen3-reranker-0.6b`."""
    found = next(unpacked(MODELS).rglob(f"configs/{name}.json"))
    return json.loads(found.read_text())


def tokenizer(name: str) -> Path:
    """Return the folder of a real tokenizer's files, such as `qwen3-0.6b`."""
    return next(unpacked(MODELS).rglob(f"tokenizers/{name}"))
