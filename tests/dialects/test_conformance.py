"""docs/apis.md is current, and its error example is what is sent."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from podium.dialects import conformance, table
from podium.dialects.base import superset
from podium.dialects.content import queries
from podium.errors import InvalidRequest

DOCUMENT = Path(__file__).parents[2] / "docs" / "apis.md"


def test_the_tables_of_the_document_are_current() -> None:
    text = DOCUMENT.read_text()
    assert text == conformance.renew(text), "run python -m podium.dialects.conformance docs/apis.md"


def test_every_path_and_every_prefix_and_every_dialect_stands_in_the_document() -> None:
    text = DOCUMENT.read_text()
    for path, rules in table.ROUTES.items():
        first = path.split("/")[1]
        assert (f"`/{first}`" if first in table.PREFIXES else f"`{path}`") in text
        assert all(f"| {rule.dialect.title} |" in text for rule in rules)


def test_the_error_of_the_document_is_what_is_sent() -> None:
    shown = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert shown is not None
    with pytest.raises(InvalidRequest) as caught:
        queries("")
    assert json.loads(shown[1]) == msgspec.to_builtins(superset(caught.value)[1])


def row_of(label: str) -> list[str]:
    (line,) = (line for line in conformance.apis().splitlines() if f"| `{label}` |" in line)
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.parametrize(
    ("label", "told"),
    [("tei", "`texts`; the path"), ("nim", "the path"), ("similarity", "an `id` in the first document")],
)
def test_a_row_tells_how_the_api_is_recognised(label: str, told: str) -> None:
    assert row_of(label)[4] == told


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ("dashscope", "`input.documents`"),
        ("dashscope", "`parameters.return_documents`"),
        ("pinecone", "`parameters.truncate`"),
        ("cohere", "`relevant_spans.max_spans`"),
        ("cohere", "`rank_fields`"),
        ("pairs", "`pairs[].query`"),
        ("similarity", "`documents[].id`"),
    ],
)
def test_a_row_names_every_field_also_those_within_others(label: str, field: str) -> None:
    assert field in row_of(label)[5].split(", ")
