"""What is made from the structs is current, complete and structural."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podium_operator.resource.crd import crd_yaml, schema
from podium_operator.resource.reference import reference

ROOT = Path(__file__).parents[3]


def test_the_crd_manifest_is_current() -> None:
    message = "python -m podium_operator.resource.crd > manifests/crd.yaml"
    assert (ROOT / "manifests" / "crd.yaml").read_text() == crd_yaml(), message


def test_the_reference_is_current() -> None:
    message = "python -m podium_operator.resource.reference > docs/reranker.md"
    assert (ROOT / "docs" / "reranker.md").read_text() == reference(), message


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
        yield from fields(field.get("items", {}), f"{path}.{name}[]")


def test_every_field_is_described_typed_and_free_of_defaults() -> None:
    for part in ("spec", "status"):
        for path, field in fields(schema()["properties"][part], part):
            assert field.get("description"), path
            assert field.get("type") or field.get("x-kubernetes-int-or-string"), path
            assert "default" not in field, f"{path}: a default would be written into users' objects"


def test_every_string_and_list_of_the_spec_is_bounded_for_cel() -> None:
    for path, field in fields(schema()["properties"]["spec"], "spec"):
        if field.get("type") == "string" and "enum" not in field:
            assert field.get("maxLength"), path
        if field.get("type") == "array":
            assert field.get("maxItems"), path
            assert field.get("x-kubernetes-list-type"), path
