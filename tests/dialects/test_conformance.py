"""docs/apis.md is current, and its error example is what is sent."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from podium.dialects import conformance, table
from podium.dialects.base import superset
from podium.dialects.parts import queries
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
