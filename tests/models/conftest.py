"""Data that is not committed: real questions with passages."""

import json

import numpy as np
import pytest
from models.shared import unpacked


@pytest.fixture(scope="session")
def xquad() -> tuple[list[str], list[str]]:
    """All questions and all passages of XQuAD English."""
    folder = unpacked("data/xquad-en.tar.xz") / "xquad-en"

    def texts(name: str) -> list[str]:
        return [json.loads(line)["text"] for line in (folder / name).read_text().splitlines()]

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
