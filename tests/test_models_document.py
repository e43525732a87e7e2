"""docs/models.md tells of all families. `python tests/test_models_document.py` writes its table anew."""

import re
from pathlib import Path

import pytest

from podium.models.families.table import FAMILIES, NAMES
from podium.models.modular_head import KINDS

DOCUMENT = Path(__file__).parents[1] / "docs" / "models.md"
README = Path(__file__).parents[1] / "README.md"


def table() -> str:
    """Return the table of families, in the order in which they are tried."""
    rows = ["| Family | Models | Recognised by | How a pair is scored |", "|---|---|---|---|"]
    rows += [f"| `{one.name}` | {one.models} | {one.evidence} | {one.scored} |" for one in FAMILIES]
    return "\n".join(rows)


def renew(document: str) -> str:
    """Return the document with its generated block made anew."""
    block = re.compile(r"(<!-- families: generated -->\n).*?(<!-- end -->)", re.DOTALL)
    return block.sub(lambda found: f"{found[1]}{table()}\n{found[2]}", document)


def test_the_table_of_families_is_the_code_s():
    text = DOCUMENT.read_text()
    assert text == renew(text), "run python tests/test_models_document.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_family_stands_in_the_document(name):
    assert f"`{name}`" in DOCUMENT.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_that_is_read_stands_in_the_document(kind):
    rows = re.findall(r"^\| ([A-Z][A-Za-z, ]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert kind in {name for row in rows for name in row.split(", ")}


def test_the_readme_names_the_models_and_points_here():
    (line,) = [line for line in README.read_text().splitlines() if "(docs/models.md)" in line]
    for name in ("bge-reranker", "Qwen3-Reranker", "mxbai-rerank", "Nemotron", "ModernBERT", "DeBERTa"):
        assert name in line


if __name__ == "__main__":
    DOCUMENT.write_text(renew(DOCUMENT.read_text()))
