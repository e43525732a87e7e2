"""The CustomResourceDefinition, made from the structs: `python -m podium_operator.resource.crd` prints it."""

import sys
from typing import Any

import msgspec
import yaml

from podium_operator.resource.names import GROUP, KIND, PLURAL, SHORT_NAME, VERSION
from podium_operator.resource.rules import RULES
from podium_operator.resource.spec import RerankerSpec
from podium_operator.resource.status import RerankerStatus

_KEPT = frozenset(
    [
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
    ]
)
"""Schema words that a structural schema may carry; defaults and titles are left out on purpose."""

PRINTER_COLUMNS = (
    ("Model", "string", ".spec.model.uri", 0),
    ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", 0),
    ("Replicas", "integer", ".status.readyReplicas", 0),
    ("Desired", "integer", ".status.desiredReplicas", 0),
    ("GPU", "string", ".spec.gpu.resourceName", 1),
    ("UpToDate", "boolean", ".status.upToDate", 1),
    ("URL", "string", ".status.url", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)
"""Name, type, path and priority (1: wide) of what `kubectl get` prints."""


def structural(struct: type) -> dict[str, Any]:
    """Return the OpenAPI schema of a struct without references, null and defaults."""
    (schema,), components = msgspec.json.schema_components((struct,), ref_template="{name}")
    return _plain(schema, components)


def _plain(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    merged = dict(schema)
    if "$ref" in merged:
        merged = {**components[merged.pop("$ref")], **merged}
    if "anyOf" in merged:
        options = [option for option in merged["anyOf"] if option != {"type": "null"}]
        inner = _plain(options[0], components) if len(options) == 1 else {}
        merged = {**inner, **{key: value for key, value in merged.items() if key != "anyOf"}}
    if isinstance(merged.get("type"), list):
        merged["type"] = next(iter(kind for kind in merged["type"] if kind != "null"))
    if "enum" in merged:
        merged["enum"] = [value for value in merged["enum"] if value is not None]
        merged["type"] = "string"
    if merged.get("x-kubernetes-int-or-string"):
        merged.pop("type", None)
        merged["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    result = {key: value for key, value in merged.items() if key in _KEPT and value != []}
    if "properties" in merged:
        result["properties"] = {
            name: _plain(value, components) for name, value in sorted(merged["properties"].items())
        }
    if "items" in merged:
        result["items"] = _plain(merged["items"], components)
    if isinstance(merged.get("additionalProperties"), dict) and merged["additionalProperties"]:
        result["additionalProperties"] = _plain(merged["additionalProperties"], components)
    if "anyOf" in merged:
        result["anyOf"] = merged["anyOf"]
    return result


def schema() -> dict[str, Any]:
    """Return the schema of the whole resource, rules included."""
    root: dict[str, Any] = {
        "type": "object",
        "description": "A reranker model, served: cached, placed, scaled and monitored.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(RerankerSpec),
            "status": structural(RerankerStatus),
        },
    }
    for path, rules in RULES.items():
        place = root
        for name in path:
            place = place["properties"][name]
        place["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    return root


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["podium"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
                        for name, kind, path, priority in PRINTER_COLUMNS
                    ],
                }
            ],
        },
    }


def crd_yaml() -> str:
    """Return the definition as a manifest."""
    head = "# Generated by `make generate`; edit operator/podium_operator/resource/spec.py instead.\n"
    return head + yaml.safe_dump(crd(), sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(crd_yaml())
