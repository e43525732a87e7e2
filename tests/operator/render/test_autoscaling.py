"""The pods that KEDA's query counts are the Reranker's own, whatever its name."""

import re

import pytest

from podium_operator.render.autoscaling import pod_pattern

LONG = "a" * 47


def kubernetes_name(name: str, template_hash: str, end: str = "x2x4x") -> str:
    """Return a pod's name as Kubernetes makes it: of the ReplicaSet's name and a dash 58 characters stay."""
    return f"{name}-{template_hash}-"[:58] + end


@pytest.mark.parametrize("name", ["a", "demo", "a" * 45, "a" * 46, LONG])
@pytest.mark.parametrize("template_hash", ["6d", "5b8f6c7d9", "7c9f8d6b5c"], ids=["2", "9", "10"])
def test_the_pods_of_a_deployment_match_however_long_its_name_is(name: str, template_hash: str) -> None:
    pod = kubernetes_name(name, template_hash)
    assert len(pod) <= 63
    assert re.fullmatch(pod_pattern(name), pod)


@pytest.mark.parametrize("other", ["a-b", "a-b-c", "ab", "b"])
def test_the_pods_of_another_reranker_do_not_match(other: str) -> None:
    for template_hash in ("6d", "5b8f6c7d9", "7c9f8d6b5c"):
        assert not re.fullmatch(pod_pattern("a"), kubernetes_name(other, template_hash))


def test_the_pods_of_a_longer_name_do_not_match_a_name_of_46() -> None:
    assert not re.fullmatch(pod_pattern("a" * 46), kubernetes_name(LONG, "7c9f8d6b5c"))
