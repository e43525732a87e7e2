"""Types that the structs of the resource are built from: a value, its bounds, its place in the schema."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class Base(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the resource: snake case here, camel case on the wire, absent where it has its default."""


def doc(text: str, **schema: Any) -> Meta:
    """Return a field's description, with additions to its schema (`x_kubernetes_list_type="map"`)."""
    extra = {name.replace("_", "-"): value for name, value in schema.items()}
    return Meta(description=text, extra_json_schema=extra or None)


Name = Annotated[str, Meta(min_length=1, max_length=253)]
"""The name of an object in the Reranker's namespace."""
Text = Annotated[str, Meta(max_length=1024)]
Short = Annotated[str, Meta(max_length=253)]
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]
Natural = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Positive = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Port = Annotated[int, Meta(ge=1, le=65535)]

_NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
# What the API server reads as a quantity: its own pattern lets 1e1.5 through. CEL's quantity() does the
# arithmetic.
_QUANTITY = rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$"

Quantity = Annotated[
    int | str,
    Meta(
        extra_json_schema={"x-kubernetes-int-or-string": True, "maxLength": 64, "pattern": _QUANTITY},
    ),
]
IntOrPercent = Annotated[
    int | str,
    Meta(extra_json_schema={"x-kubernetes-int-or-string": True, "maxLength": 8, "pattern": r"^[0-9]+%$"}),
]
Labels = dict[Annotated[str, Meta(max_length=317)], Annotated[str, Meta(max_length=4096)]]
Verbatim = Annotated[
    dict[str, Any], Meta(extra_json_schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]
"""A piece of a pod in Kubernetes' own form: handed to the API server as it stands, which checks it."""


class SecretKey(Base, frozen=True, kw_only=True):
    """One key of a Secret in the Reranker's namespace. The operator never reads it: only pods do."""

    name: Annotated[Name, doc("Name of the Secret.")]
    key: Annotated[Name, doc("Key in the Secret's data.")]


class ConfigMapKey(Base, frozen=True, kw_only=True):
    """One key of a ConfigMap in the Reranker's namespace."""

    name: Annotated[Name, doc("Name of the ConfigMap.")]
    key: Annotated[Name, doc("Key in the ConfigMap's data.")]


class ObjectName(Base, frozen=True, kw_only=True):
    """A reference by name in the Reranker's namespace."""

    name: Annotated[Name, doc("Name of the object.")]


class Resources(Base, frozen=True, kw_only=True):
    """What a container asks for and may use at most, as in a pod."""

    requests: Annotated[dict[str, Quantity], doc("What the scheduler sets aside: `cpu`, `memory`, …")] = {}
    limits: Annotated[dict[str, Quantity], doc("What the container may use at most.")] = {}


class Toleration(Base, frozen=True, kw_only=True):
    """A taint that the pods accept, as in a pod."""

    key: Annotated[Short | None, doc("Key of the taint; absent: every key.")] = None
    operator: Annotated[Short | None, doc("`Exists` or `Equal` (default).")] = None
    value: Annotated[Short | None, doc("Value of the taint, for `Equal`.")] = None
    effect: Annotated[
        Short | None, doc("`NoSchedule`, `PreferNoSchedule` or `NoExecute`; absent: every effect.")
    ] = None
    toleration_seconds: Annotated[
        int | None, doc("Seconds that a `NoExecute` taint is borne; absent: for ever.")
    ] = None


class EnvVar(Base, frozen=True, kw_only=True):
    """One environment variable, as in a pod."""

    name: Annotated[Name, doc("Name of the variable.")]
    value: Annotated[Annotated[str, Meta(max_length=65536)] | None, doc("Its value.")] = None
    value_from: Annotated[Verbatim | None, doc("A source in place of a value, as in a pod.")] = None
