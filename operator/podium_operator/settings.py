"""Every setting of the operator: one struct, read once from environment variables `PODIUM_OPERATOR_…`."""

import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PREFIX = "PODIUM_OPERATOR_"


class SettingError(ValueError):
    """A setting that cannot work; the message names it, its value and what would do."""


KUBE_DNS: dict[str, Any] = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings with their defaults. A list is written with commas or as JSON, what has fields as JSON."""

    on_upgrade: Annotated[
        Literal["Keep", "Roll"],
        Meta(
            description="what an upgrade does to pods where `rollout.onUpgrade` says nothing: Keep them, or "
            "Roll one Reranker after the other in each namespace"
        ),
    ] = "Keep"
    namespaces: Annotated[
        tuple[str, ...], Meta(description="namespaces to watch; empty: all (then the role is a ClusterRole)")
    ] = ()
    lease: Annotated[
        str,
        Meta(
            description="namespace/name of the Lease that one process of a release holds; what is applied "
            "bears it, so that two releases notice each other",
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        ),
    ] = "podium-system/podium-operator"
    holder: Annotated[
        str,
        Meta(
            description="name of this process in the Lease: the pod's, so that a container that is started "
            "again goes on at once; empty: the machine's with a random end"
        ),
    ] = ""
    reranker_image: Annotated[
        str,
        Meta(
            description="image of pods and Jobs where the resource names none and has no `gpu`; the chart "
            "names its own, since releases push no `latest`",
            min_length=1,
        ),
    ] = "ghcr.io/podium-rerank/podium:latest-cpu"
    reranker_gpu_image: Annotated[str, Meta(description="the same where `gpu` is set", min_length=1)] = (
        "ghcr.io/podium-rerank/podium:latest"
    )
    image_pull_secrets: Annotated[
        tuple[str, ...], Meta(description="pull secrets of every pod, by name in the Reranker's namespace")
    ] = ()
    otlp_endpoint: Annotated[
        str | None,
        Meta(description="OpenTelemetry collector (OTLP over HTTP) that serving pods send traces to"),
    ] = None
    prometheus_address: Annotated[
        str | None, Meta(description="Prometheus that KEDA asks where the resource names none")
    ] = None
    monitoring_namespace: Annotated[
        str, Meta(description="namespace of the scraper, let in by every NetworkPolicy", min_length=1)
    ] = "monitoring"
    overlay: Annotated[
        Literal["off", "safe", "any"],
        Meta(
            description="what `podTemplate.overlay` may be: off (none), safe (an allow-list under the "
            "restricted profile, docs/reranker.md), any (whatever the API server takes)"
        ),
    ] = "safe"
    allowed_prometheus_hosts: Annotated[
        tuple[str, ...],
        Meta(description="hosts that `autoscaling.prometheusAddress` may name; empty: every host"),
    ] = ()
    gpu_device: Annotated[
        str,
        Meta(
            description="`PODIUM_DEVICE` of pods that ask for an NVIDIA GPU: with `cuda` one that finds none "
            "fails and says so, with `auto` it would serve on the CPU",
            pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        ),
    ] = "cuda"
    pod_security_context: Annotated[
        dict[str, Any] | None,
        Meta(
            description="security context of every Reranker's pods, as JSON; default: user 65532, restricted"
        ),
    ] = None
    container_security_context: Annotated[
        dict[str, Any] | None,
        Meta(description="that of their containers, as JSON; default: what the restricted profile asks for"),
    ] = None
    dns_egress: Annotated[
        tuple[dict[str, Any], ...],
        Meta(
            description="egress rules by which pods with a NetworkPolicy reach DNS, as a JSON list; "
            "default: kube-dns in kube-system"
        ),
    ] = (KUBE_DNS,)
    egress_except: Annotated[
        tuple[str, ...],
        Meta(description="CIDRs that no egress of a NetworkPolicy reaches: metadata addresses of clouds"),
    ] = ("169.254.169.254/32", "fd00:ec2::254/128")
    keda: Annotated[
        bool, Meta(description="use KEDA's API where it is installed (the role must allow scaledobjects)")
    ] = True
    service_monitors: Annotated[
        bool,
        Meta(description="use ServiceMonitors and PodMonitors where installed (the role must allow both)"),
    ] = True
    download_retry_max_s: Annotated[
        float, Meta(description="seconds at most between two tries of a failed download", gt=0)
    ] = 300.0
    workers: Annotated[int, Meta(description="Rerankers worked on at the same time", ge=1, le=256)] = 16
    resync_s: Annotated[
        float, Meta(description="seconds after which each Reranker is looked at again (± 20 %)", gt=0)
    ] = 600.0
    sweep_s: Annotated[
        float,
        Meta(
            description="seconds between two lists of a kind, its namespaces in turn, past its watch; from "
            "about 60 on, watches of what is quiet begin anew now and then",
            gt=0,
        ),
    ] = 45.0
    api_timeout_s: Annotated[
        float,
        Meta(
            description="seconds for one API request; a worker that gets no answer for 45 s counts as hung",
            gt=0,
            le=30,
        ),
    ] = 10.0
    http_host: Annotated[
        str, Meta(description="address of /healthz, /readyz and /metrics; `::` is IPv6 and IPv4")
    ] = "::"
    http_port: Annotated[int, Meta(description="its port; 0 takes a free one", ge=0, le=65535)] = 8080
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"
    log_format: Annotated[Literal["json", "console"], Meta(description="form of the log")] = "json"


FIELDS: dict[str, object] = typing.get_type_hints(Settings, include_extras=True)
"""Name of each setting to its annotated type, in the order of the struct."""


def variable(name: str) -> str:
    """Return the environment variable of a setting: `http_port` → `PODIUM_OPERATOR_HTTP_PORT`."""
    return PREFIX + name.upper()


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read settings from an environment; an empty string means the default.

    Raises SettingError for an unknown `PODIUM_OPERATOR_…` variable and for a value that does not parse.
    """
    known = {variable(name): name for name in FIELDS}
    values: dict[str, object] = {}
    for key, value in environment.items():
        if not key.startswith(PREFIX) or value == "":
            continue
        name = known.get(key)
        if name is None:
            raise SettingError(f"{key}: no such setting; the settings are {', '.join(sorted(known))}")
        values[name] = _parsed(key, FIELDS[name], value)
    return Settings(**values)  # type: ignore[arg-type]


def _parsed(key: str, annotation: object, value: str) -> object:
    written = str(annotation)
    try:
        many = "tuple[" in written
        if many and value == "null":
            return ()  # how Helm switches a list off
        if "dict[" in written:
            return msgspec.json.decode(value, type=annotation)
        if many and value.startswith("["):
            return msgspec.json.decode(value, type=annotation)
        given = [part.strip() for part in value.split(",") if part.strip()] if many else value
        return msgspec.convert(given, annotation, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise SettingError(f"{key}: {error}, got `{value}`") from None
