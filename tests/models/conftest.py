"""Data that is not committed: real questions with passages."""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

ARCHIVE = "data/xquad-en.tar.xz"


@pytest.fixture(scope="session")
def xquad(tmp_path_factory) -> tuple[list[str], list[str]]:
    """All questions and all passages of XQuAD English."""
    shared = Path(os.environ.get("PODIUM_SHARED", Path(__file__).parents[3] / "shared"))
    if not (shared / ARCHIVE).exists():
        pytest.skip(f"needs {ARCHIVE} (XQuAD English): set PODIUM_SHARED to the folder that holds it")
    folder = tmp_path_factory.mktemp("xquad")
    with tarfile.open(shared / ARCHIVE) as archive:
        archive.extractall(folder, filter="data")

    def texts(name: str) -> list[str]:
        return [json.loads(line)["text"] for line in (folder / "xquad-en" / name).read_text().splitlines()]

    return texts("queries.jsonl"), texts("corpus.jsonl")


@pytest.fixture
def random_pairs(xquad) -> list[tuple[str, str]]:
    """200 pairs of a question and a passage, both drawn at random, the same ones each time."""
    questions, passages = xquad
    random = np.random.default_rng(4)
    return [
        (questions[random.integers(len(questions))], passages[random.integers(len(passages))])
        for _ in range(200)
    ]
