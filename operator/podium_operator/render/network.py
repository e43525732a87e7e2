"""NetworkPolicies: what the serving pods and the download are let talk to."""

from collections.abc import Collection
from typing import Any

from podium_operator.render.pod import PORT, labels, selector
from podium_operator.resource.names import BINDER, DOWNLOAD
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.status import Pinned
from podium_operator.resource.validate import split_address
from podium_operator.settings import Settings

_HUB = "https://huggingface.co"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def network_policies(reranker: Reranker, pinned: Pinned, settings: Settings) -> list[dict[str, Any]]:
    """Return the policy of the serving pods and that of the Jobs; none where they are off.

    An empty `ingress` or `egress` list is left out: with one, each identical apply makes a new version.
    """
    if not reranker.spec.network_policy.enabled:
        return []
    policies = [_policy(reranker, reranker.name, _serving(reranker, pinned, settings))]
    if reranker.spec.model.uri.startswith("hf://"):
        policies.append(_policy(reranker, f"{reranker.name}-download", _download(reranker, settings)))
    return policies


def _policy(reranker: Reranker, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels(reranker)},
        "spec": {**spec, "policyTypes": ["Ingress", "Egress"]},
    }


def _serving(reranker: Reranker, pinned: Pinned, settings: Settings) -> dict[str, Any]:
    port = [{"port": PORT, "protocol": "TCP"}]
    callers = list(reranker.spec.network_policy.ingress_from) or [{"namespaceSelector": {}}]
    egress = list(settings.dns_egress)
    if pinned.otlp_endpoint:
        egress += _to_addresses([pinned.otlp_endpoint], reranker, settings)
    return {
        "podSelector": {"matchLabels": selector(reranker)},
        "ingress": [{"from": callers, "ports": port}, _scraped(settings)],
        **({"egress": egress} if egress else {}),
    }


def _download(reranker: Reranker, settings: Settings) -> dict[str, Any]:
    """The Jobs are scraped and take no other connection; they reach DNS and the ports of hub and proxy."""
    model = reranker.spec.model
    proxies = [model.proxy.http_proxy, model.proxy.https_proxy] if model.proxy else []
    addresses = [model.endpoint or _HUB, *(proxy for proxy in proxies if proxy)]
    return {
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/instance": reranker.name},
            "matchExpressions": [
                {"key": "app.kubernetes.io/name", "operator": "In", "values": [DOWNLOAD, BINDER]}
            ],
        },
        "ingress": [_scraped(settings)],
        "egress": [*settings.dns_egress, *_to_addresses(addresses, reranker, settings)],
    }


def _scraped(settings: Settings) -> dict[str, Any]:
    names = {"kubernetes.io/metadata.name": settings.monitoring_namespace}
    return {
        "from": [{"namespaceSelector": {"matchLabels": names}}],
        "ports": [{"port": PORT, "protocol": "TCP"}],
    }


def _to_addresses(addresses: Collection[str], reranker: Reranker, settings: Settings) -> list[dict[str, Any]]:
    """Return rules to the ports of these addresses anywhere but at metadata addresses, which give a node's
    credentials away; and where one may be a Service's, to every port of its namespace's pods.

    Pods are named besides: some network plugins do not count them among the addresses of a block. A policy is
    asked about a pod's own port, which a Service's need not be.
    """
    ports = {_port(address) for address in addresses}
    rule: dict[str, Any] = {"ports": [{"port": port, "protocol": "TCP"} for port in sorted(ports)]}
    if settings.egress_except:
        rule["to"] = [{"namespaceSelector": {}}, _block("0.0.0.0/0", settings), _block("::/0", settings)]
    namespaces = {_service_namespace(address, reranker.namespace) for address in addresses}
    peers = [_pods_of_namespace(name, reranker.namespace) for name in sorted(filter(None, namespaces))]
    return [rule, {"to": peers}] if peers else [rule]


def _service_namespace(address: str, own: str) -> str | None:
    """Return the namespace of the Service that a host may name: `name`, `name.namespace` (which may as well
    be outside) or one below `svc`; None for any other host.
    """
    parts = f"{split_address(address).hostname}".rstrip(".").split(".")
    if address == _HUB or ":" in parts[0]:
        return None
    if len(parts) <= 2:
        return parts[1] if len(parts) == 2 else own
    return parts[parts.index("svc", 2) - 1] if "svc" in parts[2:] else None


def _pods_of_namespace(name: str, own: str) -> dict[str, Any]:
    if name == own:
        return {"podSelector": {}}
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _block(cidr: str, settings: Settings) -> dict[str, Any]:
    without = [other for other in settings.egress_except if (":" in other) == (":" in cidr)]
    return {"ipBlock": {"cidr": cidr, **({"except": without} if without else {})}}


def _port(address: str) -> int:
    parts = split_address(address)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
