"""The code blocks of the tutorial and the how-to guides, and who runs each of them.

The comment above a block says it:

    <!-- run: here -->      shell, beside a served built-in model that the text calls http://localhost:8080
    <!-- run: cluster -->   shell, on the cluster of tests/e2e
    <!-- run: SET -->       Python, in that set of tests/clients
    <!-- run: accepted -->  a manifest that the API server takes
    <!-- run: values -->    values of the chart
    <!-- prints -->         what the block before it prints
    <!-- not run: WHY -->
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
CLIENTS = frozenset({"vendors", "langchain", "llama_index", "haystack"})
RUNNERS = frozenset({"here", "cluster", "accepted", "values", *CLIENTS})
TOLERANCE = 0.005
"""How far a score on a page may be from the one that is answered: processors round differently."""
_FENCE = re.compile(r"(?:^<!-- (?P<said>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """One block: `how` is a runner, `prints`, `not run`, or "" where nothing is said."""

    page: Path
    line: int
    language: str
    text: str
    how: str

    @property
    def name(self) -> str:
        """The page and the line, for test ids."""
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        said = found["said"] or ""
        how = said.removeprefix("run: ") if not said.startswith("not run:") else "not run"
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page, line, found["language"], found["text"], how)


def agrees(told: Any, found: Any) -> bool:
    """Whether what a page shows is in what was answered: keys of objects, equal lists, numbers nearly.

    `id` and `created` are other each time.
    """
    if isinstance(told, dict):
        keys = told.keys() - {"id", "created"}
        return isinstance(found, dict) and all(key in found and agrees(told[key], found[key]) for key in keys)
    if isinstance(told, list):
        same = isinstance(found, list) and len(told) == len(found)
        return same and all(map(agrees, told, found))
    if isinstance(told, float):
        near = isinstance(found, int | float)
        return near and math.isclose(told, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(told == found)


def check_output(told: Block, printed: str) -> None:
    """Raise AssertionError where a block prints other things than the page shows after it."""
    if told.language == "json":
        assert agrees(json.loads(told.text), json.loads(printed)), f"{told.name}: the answer is {printed}"
    else:
        assert told.text.strip() == printed.strip(), f"{told.name}: printed was {printed}"
