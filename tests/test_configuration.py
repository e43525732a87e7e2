"""docs/configuration.md is current. `python tests/test_configuration.py` writes its settings anew."""

import re
from pathlib import Path

import pytest

from podium.cli.options import describe
from podium.errors import Reason
from podium.settings import FIELDS

DOCUMENT = Path(__file__).parents[1] / "docs" / "configuration.md"
PERMANENT = {
    Reason.UNAUTHORIZED,
    Reason.GATED_MODEL,
    Reason.MODEL_NOT_FOUND,
    Reason.CHECKSUM_MISMATCH,
    Reason.MODEL_LOAD_FAILED,
    Reason.SELF_TEST_FAILED,
}


def settings() -> str:
    """Return the table of settings, in the order of the struct."""
    rows = ["| Variable | Flag | Takes | Default | What |", "|---|---|---|---|---|"]
    for said in map(describe, FIELDS):
        takes = (
            said.values.strip("[]").replace("|", ", ") if said.values.startswith("[") else said.values.lower()
        )
        default = f"`{said.default}`" if said.default else ""
        rows.append(f"| `{said.variable}` | `{said.flag}` | {takes} | {default} | {said.description} |")
    return "\n".join(rows)


def renew(document: str) -> str:
    """Return the document with its generated block made anew."""
    block = re.compile(r"(<!-- settings: generated -->\n).*?(<!-- end -->)", re.DOTALL)
    return block.sub(lambda found: f"{found[1]}\n{settings()}\n\n{found[2]}", document)


def test_every_setting_stands_in_the_document_with_flag_variable_unit_and_default():
    text = DOCUMENT.read_text()
    assert text == renew(text), "run python tests/test_configuration.py"
    for name in FIELDS:
        assert describe(name).variable in text


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_document_with_its_exit_code(reason):
    assert f"\n| {reason} | {42 if reason in PERMANENT else 75} | " in DOCUMENT.read_text()


if __name__ == "__main__":
    DOCUMENT.write_text(renew(DOCUMENT.read_text()))
