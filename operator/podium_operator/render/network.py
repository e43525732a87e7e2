"""NetworkPolicies: what the serving pods and the download are let talk to."""

from typing import Any
from urllib.parse import urlsplit

from podium_operator.render.pod import PORT, labels, selector
from podium_operator.resource.names import BINDER, DOWNLOAD
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.status import Pinned
from podium_operator.settings import Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def network_policies(reranker: Reranker, pinned: Pinned, settings: Settings) -> list[dict[str, Any]]:
    """Return the policy of the serving pods and that of the Jobs; none where they are off.

    An empty `ingress` or `egress` list is left out: with one, each identical apply makes a new version.
    """
    if not reranker.spec.network_policy.enabled:
        return []
    policies = [_policy(reranker, reranker.name, _serving(reranker, pinned, settings))]
    if reranker.spec.model.uri.startswith("hf://"):
        policies.append(_policy(reranker, f"{reranker.name}-download", _download(reranker)))
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
    scraper = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.monitoring_namespace}}
    }
    callers = list(reranker.spec.network_policy.ingress_from) or [{"namespaceSelector": {}}]
    egress = [_DNS, *([_to_port(pinned.otlp_endpoint)] if pinned.otlp_endpoint else [])]
    return {
        "podSelector": {"matchLabels": selector(reranker)},
        "ingress": [{"from": callers, "ports": port}, {"from": [scraper], "ports": port}],
        "egress": egress,
    }


def _download(reranker: Reranker) -> dict[str, Any]:
    """The Jobs take no connection; they reach DNS and the ports of the hub and of a proxy."""
    model = reranker.spec.model
    proxies = [model.proxy.http_proxy, model.proxy.https_proxy] if model.proxy else []
    addresses = [model.endpoint or "https://hub", *(proxy for proxy in proxies if proxy)]
    ports = {_port(address) for address in addresses}
    return {
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/instance": reranker.name},
            "matchExpressions": [
                {"key": "app.kubernetes.io/name", "operator": "In", "values": [DOWNLOAD, BINDER]}
            ],
        },
        "egress": [_DNS, {"ports": [{"port": port, "protocol": "TCP"} for port in sorted(ports)]}],
    }


def _to_port(address: str) -> dict[str, Any]:
    return {"ports": [{"port": _port(address), "protocol": "TCP"}]}


def _port(address: str) -> int:
    """Return the port of an address; one without a scheme is taken as http, as curl does."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
