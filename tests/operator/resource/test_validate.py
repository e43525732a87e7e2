"""What the operator refuses because the API server's schema cannot see it; lists shared with the service."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rerankers import HUB, SETTINGS, body, children_of, look, reranker

from podium.errors import Reason
from podium.settings import FIELDS
from podium_operator.resource.status import ServiceReason
from podium_operator.resource.validate import FREE_SETTINGS, OWN_SETTINGS, find_problem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_lenght", "is no setting of the service"),
        ("model", "is set by the operator"),
        ("port", "is set by the"),
    ],
)
def test_settings_that_the_service_does_not_know_or_the_operator_sets_are_refused(
    name: str, words: str
) -> None:
    problem = find_problem(reranker(engine={"settings": {name: "1"}}), SETTINGS)
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert f"engine.settings.{name} {words}" in problem.message


def test_more_than_the_deployment_can_remember_is_refused_with_the_way_out() -> None:
    """All annotations of an object may have 256 KiB: such a Deployment could never be applied."""

    def env(count: int) -> dict:
        return {"env": [{"name": f"E{number}", "value": "é" * 30_000} for number in range(count)]}

    manifests = [apply.manifest for apply in look(body(engine=env(4))).plan.applies]
    (made,) = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    annotations = made["metadata"]["annotations"]
    assert sum(len(f"{key}{value}".encode()) for key, value in annotations.items()) < 256 * 1024
    problem = find_problem(reranker(engine=env(5)), SETTINGS)
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert "300" in problem.message
    assert "engine.env (or of podTemplate) into a ConfigMap that engine.envFrom names" in problem.message


def test_an_instruction_is_a_setting_that_reaches_the_service() -> None:
    text = "Given a question, retrieve passages that answer it"
    resource = body(engine={"settings": {"instruction": text}})
    assert find_problem(reranker(engine={"settings": {"instruction": text}}), SETTINGS) is None
    (deployment,) = [child for child in children_of(resource).manifests if child["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "PODIUM_INSTRUCTION", "value": text} in container["env"]


RULES = ["requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"]
PARTS = ["nodeAffinity", "podAffinity", "nodeSelectorTerms", "matchExpressions", *RULES]
JSON = st.recursive(
    st.none() | st.booleans() | st.just("x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(PARTS), JSON, max_size=3))
@settings(deadline=None)
def test_whatever_an_affinity_holds_there_is_a_verdict_and_what_is_admitted_is_rendered(
    given: dict,
) -> None:
    """The API server's schema sees nothing of it, and ours is added to it."""
    scheduling = {"affinity": given}
    look(body(model={"uri": HUB}, gpu={"product": "NVIDIA-H200"}, scheduling=scheduling))


@pytest.mark.parametrize(
    "affinity",
    [
        {"nodeAffinity": "x"},
        {"podAffinity": {RULES[1]: {"weight": 1}}},
        {"nodeAffinity": {RULES[0]: {"nodeSelectorTerms": [{"matchExpressions": "x"}]}}},
        {"nodeAffinity": {RULES[0]: ["x"]}},
        {"nodeAffinity": {RULES[0]: [{"matchExpressions": []}]}},
    ],
)
def test_an_affinity_of_another_shape_is_refused_by_its_path(affinity: dict) -> None:
    problem = find_problem(reranker(scheduling={"affinity": affinity}), SETTINGS)
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert problem.message.startswith("scheduling.affinity.")


@pytest.mark.parametrize(
    ("spec", "path"),
    [({"cache": {"size": "1e1.5"}}, "cache.size"), ({"gpu": {"minMemory": "1E.5"}}, "gpu.minMemory")],
)
def test_a_quantity_that_the_pattern_lets_through_and_is_none_is_refused(spec: dict, path: str) -> None:
    problem = find_problem(reranker(**spec), SETTINGS)
    assert problem is not None
    assert problem.message.startswith(f"{path}: `1")
    look(body(model={"uri": HUB}, **spec))


def test_a_spec_that_nobody_thought_of_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    resource = body(networkPolicy={"enabled": True})
    broken = msgspec.structs.replace(SETTINGS, dns_egress=None)
    decision = look(resource, settings=broken)
    assert decision.plan.empty
    assert decision.view.problem is not None
    assert decision.view.problem.reason == "InvalidSpec"
    assert "(TypeError: " in decision.view.problem.message
    assert "no children can be made for search/demo" in caplog.text


def test_both_lists_together_are_the_services_settings() -> None:
    assert set(FIELDS) == OWN_SETTINGS | FREE_SETTINGS
    assert not OWN_SETTINGS & FREE_SETTINGS


def test_the_reasons_are_the_services() -> None:
    assert [reason.value for reason in ServiceReason] == [reason.value for reason in Reason]


def nested(levels: int, value: object = "x") -> object:
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("levels", [500, 100_000])
def test_a_spec_that_is_nested_deeper_than_any_pod_is_refused_by_its_field(levels: int) -> None:
    spec = msgspec.structs.replace(
        reranker(), raw={"model": {"uri": "builtin"}, "podTemplate": nested(levels)}
    )
    problem = find_problem(spec, SETTINGS)
    assert problem is not None
    assert (problem.reason, problem.message.partition(" is ")[0]) == ("InvalidSpec", "podTemplate")
    flat = msgspec.structs.replace(reranker(), raw={"model": {"uri": "builtin"}, "podTemplate": nested(40)})
    assert find_problem(flat, SETTINGS) is None


ODD_PROXY = {"httpsProxy": "proxy:x"}
HALF_PROXY = {"httpProxy": "http://[::1"}
HOSTILE: dict[str, tuple[dict, str]] = {
    "a-million-digits": ({"cache": {"size": "1e999999"}}, "cache.size: `1e999999` is out of"),
    "beyond-decimals": ({"cache": {"size": "1e999999999"}}, "cache.size: `1e999999999` is out of"),
    "more-than-a-quantity": ({"cache": {"size": "8Ei"}}, "cache.size: `8Ei` is out of"),
    "gpu-memory": ({"gpu": {"minMemory": "1e5000"}}, "gpu.minMemory: `1e5000` is out of"),
    "port": ({"model": {"uri": HUB, "endpoint": "http://hub:99999"}}, "model.endpoint: `http://hub:99999`"),
    "no-port": (
        {"model": {"uri": HUB, "proxy": ODD_PROXY}},
        "model.proxy.httpsProxy: `proxy:x`",
    ),
    "half-an-address": (
        {"model": {"uri": HUB, "proxy": HALF_PROXY}},
        "model.proxy.httpProxy",
    ),
    "prometheus": (
        {"autoscaling": {"maxReplicas": 2, "prometheusAddress": "http://[p"}},
        "autoscaling.prometheusAddress: `http://[p` is no address",
    ),
}


@pytest.mark.parametrize(("spec", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_number_or_address_that_cannot_be_is_refused_by_its_field_at_once(spec: dict, words: str) -> None:
    decision = look(
        body(**{"model": {"uri": HUB}, **spec}, networkPolicy={"enabled": True}),
        settings=msgspec.structs.replace(SETTINGS, allowed_prometheus_hosts=("p",)),
    )
    problem = decision.view.problem
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert problem.message.startswith(words)
