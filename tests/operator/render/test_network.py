"""The rendered NetworkPolicies over a table of flows: test clusters rarely enforce policies."""

from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest
from rerankers import HUB, SETTINGS, body, downloaded, look, settle

SERVER = {"app.kubernetes.io/name": "reranker", "app.kubernetes.io/instance": "demo"}
JOB = {"app.kubernetes.io/name": "reranker-download", "app.kubernetes.io/instance": "demo"}
CALLER, OTHER, DNS = {"app": "search"}, {"app": "other"}, {"k8s-app": "kube-dns"}
ADDRESSES = {
    "internet": "93.184.216.34",
    "internet-6": "2600::1",
    "metadata": "169.254.169.254",
    "metadata-6": "fd00:ec2::254",
    "node-cache": "169.254.20.10",
}
"""What lies in no namespace."""


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    def holds(expression: dict[str, Any]) -> bool:
        return labels.get(expression["key"]) in expression["values"]

    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        holds(expression) for expression in selector.get("matchExpressions", [])
    )


def peer_matches(peer: dict[str, Any], labels: dict[str, str], namespace: str) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(ADDRESSES.get(namespace, "10.244.0.9"))
        inside = [address in ip_network(cidr) for cidr in (block["cidr"], *block.get("except", []))]
        return inside[0] and not any(inside[1:])
    if namespace in ADDRESSES:
        return False
    names = {"kubernetes.io/metadata.name": namespace}
    if "namespaceSelector" in peer and not selects(peer["namespaceSelector"], names):
        return False
    if "namespaceSelector" not in peer and namespace != "search":
        return False
    return selects(peer.get("podSelector", {}), labels)


def allowed(
    policies: list[dict], direction: str, pod: dict, port: tuple[int, str], peer: dict, space: str
) -> bool:
    """Whether a flow passes: a pod that a policy selects may only do what one of its rules says."""
    side, peers = ("ingress", "from") if direction == "in" else ("egress", "to")
    mine = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], pod)]
    mine = [spec for spec in mine if side.capitalize() in spec["policyTypes"]]
    if not mine:
        return True
    for spec in mine:
        for rule in spec.get(side, []):
            ports = [(entry["port"], entry["protocol"]) for entry in rule.get("ports", [])]
            if (not ports or port in ports) and (
                peers not in rule or any(peer_matches(entry, peer, space) for entry in rule[peers])
            ):
                return True
    return False


def policies(**spec: Any) -> list[dict]:
    resource = body(**{"networkPolicy": {"enabled": True}, "model": {"uri": HUB}, **spec})
    return [child for key, child in downloaded(resource).children.items() if key[0] == "NetworkPolicy"]


NARROW = {"networkPolicy": {"enabled": True, "ingressFrom": [{"podSelector": {"matchLabels": CALLER}}]}}
HUB_AT_8443 = {"model": {"uri": HUB, "endpoint": "https://hub.corp:8443"}}
METADATA = {"model": {"uri": HUB, "endpoint": "http://169.254.169.254"}}
PROXY = {"model": {"uri": HUB, "proxy": {"httpsProxy": "http://proxy.corp:3128"}}}


@pytest.mark.parametrize(
    ("spec", "direction", "pod", "port", "peer", "namespace", "passes"),
    [
        pytest.param({}, "in", SERVER, (8080, "TCP"), OTHER, "elsewhere", True, id="the-whole-cluster-asks"),
        pytest.param({}, "in", SERVER, (22, "TCP"), OTHER, "elsewhere", False, id="no-other-port"),
        pytest.param(NARROW, "in", SERVER, (8080, "TCP"), CALLER, "search", True, id="a-named-caller"),
        pytest.param(NARROW, "in", SERVER, (8080, "TCP"), OTHER, "search", False, id="an-unnamed-caller"),
        pytest.param(NARROW, "in", SERVER, (8080, "TCP"), CALLER, "elsewhere", False, id="another-namespace"),
        pytest.param(NARROW, "in", SERVER, (8080, "TCP"), OTHER, "monitoring", True, id="the-scraper-always"),
        pytest.param({}, "out", SERVER, (53, "UDP"), DNS, "kube-system", True, id="servers-reach-dns"),
        pytest.param({}, "out", SERVER, (53, "UDP"), OTHER, "elsewhere", False, id="and-no-other-port-53"),
        pytest.param({}, "out", SERVER, (53, "UDP"), OTHER, "internet", False, id="nor-one-outside"),
        pytest.param({}, "out", SERVER, (443, "TCP"), OTHER, "internet", False, id="servers-reach-no-hub"),
        pytest.param({}, "in", JOB, (8080, "TCP"), OTHER, "search", False, id="nobody-asks-a-job"),
        pytest.param({}, "in", JOB, (8080, "TCP"), OTHER, "monitoring", True, id="but-the-scraper"),
        pytest.param({}, "in", JOB, (22, "TCP"), OTHER, "monitoring", False, id="at-its-metrics-alone"),
        pytest.param({}, "out", JOB, (53, "TCP"), DNS, "kube-system", True, id="a-job-reaches-dns"),
        pytest.param(
            {}, "out", JOB, (443, "TCP"), OTHER, "internet-6", True, id="a-job-reaches-a-hub-by-ipv6"
        ),
        pytest.param(
            METADATA, "out", JOB, (80, "TCP"), OTHER, "metadata", False, id="a-job-and-the-metadata"
        ),
        pytest.param(METADATA, "out", JOB, (80, "TCP"), OTHER, "metadata-6", False, id="the-same-by-ipv6"),
        pytest.param(
            METADATA, "out", JOB, (80, "TCP"), OTHER, "internet", True, id="but-such-a-hub-is-reached"
        ),
        pytest.param({}, "out", JOB, (443, "TCP"), OTHER, "internet", True, id="a-job-reaches-the-hub"),
        pytest.param({}, "out", JOB, (5432, "TCP"), OTHER, "search", False, id="a-job-reaches-nothing-else"),
        pytest.param(HUB_AT_8443, "out", JOB, (8443, "TCP"), OTHER, "corp", True, id="a-private-hubs-port"),
        pytest.param(HUB_AT_8443, "out", JOB, (443, "TCP"), OTHER, "internet", False, id="and-only-that"),
        pytest.param(PROXY, "out", JOB, (3128, "TCP"), OTHER, "corp", True, id="a-proxys-port"),
        pytest.param({}, "in", OTHER, (1, "TCP"), OTHER, "search", True, id="other-pods-are-not-touched"),
    ],
)
def test_a_flow_passes_or_not(
    spec: dict, direction: str, pod: dict, port: tuple[int, str], peer: dict, namespace: str, passes: bool
) -> None:
    assert allowed(policies(**spec), direction, pod, port, peer, namespace) is passes


def test_the_collectors_port_is_open_to_servers_where_traces_go_there() -> None:
    settings = msgspec.structs.replace(SETTINGS, otlp_endpoint="http://collector.corp:4318")
    seen = settle(body(networkPolicy={"enabled": True}), settings)
    found = [child for key, child in seen.children.items() if key[0] == "NetworkPolicy"]
    assert allowed(found, "out", SERVER, (4318, "TCP"), OTHER, "otel")
    assert allowed(found, "out", SERVER, (4318, "TCP"), OTHER, "internet")
    assert not allowed(found, "out", SERVER, (4318, "TCP"), OTHER, "metadata")
    assert not allowed(found, "out", SERVER, (4317, "TCP"), OTHER, "otel")


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("hub", "search"),
        ("hub.hubs", "hubs"),
        ("hub.search.svc", "search"),
        ("hub.hubs.svc", "hubs"),
        ("hub.hubs.svc.cluster.local", "hubs"),
        ("hub-0.hub.hubs.svc.corp", "hubs"),
        ("svc.search.corp", None),
        ("10.0.0.1", None),
        ("[2600::1]", None),
    ],
)
def test_a_service_is_reached_at_whichever_port_its_pods_have(host: str, namespace: str | None) -> None:
    """A policy is asked after the Service's port has become the pod's; other namespaces' stay closed."""
    found = policies(model={"uri": HUB, "endpoint": f"http://{host}"})
    spaces = ["search", "hubs", "elsewhere"]
    reached = [space for space in spaces if allowed(found, "out", JOB, (8080, "TCP"), OTHER, space)]
    assert reached == [space for space in spaces if space == namespace]
    assert allowed(found, "out", JOB, (80, "TCP"), OTHER, "elsewhere")
    assert not allowed(found, "out", JOB, (8080, "TCP"), OTHER, "internet")
    assert not allowed(found, "out", JOB, (80, "TCP"), OTHER, "metadata")


def test_a_reranker_named_like_anothers_download_is_told_of_the_conflict() -> None:
    spec: dict[str, Any] = {"networkPolicy": {"enabled": True}, "model": {"uri": HUB}}
    one, other = settle(body("search", **spec)), body("search-download", **spec)
    other["metadata"]["uid"] = "another"
    taken = ("NetworkPolicy", "search-download")
    seen = msgspec.structs.replace(one, children={taken: one.children[taken]})
    found = look(other, seen)
    assert found.view.conflicts == (taken,)
    assert found.plan.deletes == ()


def test_where_dns_is_and_what_no_pod_reaches_are_settings() -> None:
    node_cache = {
        "to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}],
        "ports": [{"port": 53, "protocol": "UDP"}],
    }
    openshift = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}],
        "ports": [{"port": 5353, "protocol": "UDP"}],
    }
    settings = msgspec.structs.replace(SETTINGS, dns_egress=(node_cache, openshift), egress_except=())
    seen = settle(body(networkPolicy={"enabled": True}, **METADATA), settings, claim=None)
    found = [child for key, child in seen.children.items() if key[0] == "NetworkPolicy"]
    assert allowed(found, "out", JOB, (53, "UDP"), {}, "node-cache")
    assert allowed(found, "out", SERVER, (5353, "UDP"), OTHER, "openshift-dns")
    assert not allowed(found, "out", SERVER, (53, "UDP"), DNS, "kube-system")
    assert allowed(found, "out", JOB, (80, "TCP"), OTHER, "metadata"), "nothing is excepted"


def test_policies_are_off_by_default_and_never_hold_an_empty_list() -> None:
    assert policies(networkPolicy={"enabled": False}) == []
    for policy in policies():
        assert [] not in policy["spec"].values(), "each identical apply of an empty list makes a new version"
