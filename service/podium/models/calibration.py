"""The text that activations are calibrated on: pairs in many languages, code, tables, short and long ones.

It was written for this, and is under the licence of the code.
"""

import json
from pathlib import Path

_TEXTS = Path(__file__).with_suffix(".jsonl")


def pairs() -> list[tuple[str, str]]:
    """Return the pairs of query and document; the last document is as long as all others together."""
    found = [(query, document) for query, document in map(json.loads, _TEXTS.read_text("utf-8").splitlines())]
    return [*found, (found[0][0], " ".join(document for _, document in found))]
