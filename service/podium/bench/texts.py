"""Pairs to measure with: real questions with whole passages, halves and single sentences of them."""

import json
import os
import random
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ARCHIVE = "data/xquad-en.tar.xz"
Pair = tuple[str, str]

_WORDS = ("the", "of", "a", "river", "bank", "money", "panda", "lives", "in", "high", "mountains", "bamboo")


def pairs(count: int) -> tuple[list[Pair], str]:
    """Return `count` query-document pairs, the same ones each time, and where their texts are from.

    XQuAD English where the folder that PODIUM_SHARED names (`../shared`) has it, else text that is made up.
    """
    shared = Path(os.environ.get("PODIUM_SHARED", "../shared")) / ARCHIVE
    chance = random.Random(0)  # noqa: S311 nothing secret
    if shared.exists():
        whole, source = _xquad(shared), f"XQuAD English, {shared}"
    else:
        whole, source = _made_up(chance), "made-up text: no XQuAD at PODIUM_SHARED"
    chosen = [whole[chance.randrange(len(whole))] for _ in range(count)]
    return [(query, _cut(document, index)) for index, (query, document) in enumerate(chosen)], source


def _cut(document: str, index: int) -> str:
    """Return the whole of a document, its half or its first sentence, in turn."""
    if index % 3 == 0:
        return document
    return document[: len(document) // 2] if index % 3 == 1 else re.split(r"(?<=[.!?])\s", document)[0]


def _xquad(archive: Path) -> list[Pair]:
    with tarfile.open(archive) as packed:

        def lines(name: str) -> Sequence[bytes]:
            member: IO[bytes] | None = packed.extractfile(f"xquad-en/{name}")
            assert member is not None
            return member.read().splitlines()

        queries, documents = (
            {record["_id"]: record["text"] for record in map(json.loads, lines(name))}
            for name in ("queries.jsonl", "corpus.jsonl")
        )
        grades = [line.decode().split("\t") for line in lines("qrels.tsv")]
    return [(queries[query], documents[document]) for query, document, _ in grades]


def _made_up(chance: random.Random) -> list[Pair]:
    """Return pairs of words in no order, as long as XQuAD's: a model's time depends on lengths alone."""

    def text(length: int) -> str:
        return " ".join(
            chance.choice(_WORDS) + ("." if chance.random() < 0.04 else "") for _ in range(length)
        )

    return [(text(chance.randint(6, 16)), text(chance.randint(60, 200))) for _ in range(200)]
