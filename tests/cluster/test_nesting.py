"""JSON nested deeper than Python reads by default: one such Reranker must not end the watch of all."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.operator_process import OperatorProcess
from cluster.space import Space

LEVELS = 9_900
"""The API server takes 10,000 in all."""


@pytest.fixture
def deep_json() -> Iterator[None]:
    """This process writes and reads that deep too."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(3 * LEVELS)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_json")
def test_a_reranker_nested_as_deep_as_the_api_server_takes_is_refused_and_others_are_looked_after(
    operator: OperatorProcess, space: Space
) -> None:
    behavior: dict[str, Any] = {}
    for _ in range(LEVELS):
        behavior = {"a": behavior}
    manifest = {
        "apiVersion": "podium.sh/v1alpha1",
        "kind": "Reranker",
        "metadata": {"name": "deep"},
        "spec": {"model": {"uri": "builtin"}, "autoscaling": {"maxReplicas": 2, "behavior": behavior}},
    }
    space.plane.request("POST", space.path("rerankers"), manifest)
    try:
        message = space.wait_condition("Accepted", "False", "InvalidSpec", "deep")
        assert "autoscaling is nested more than 64 levels deep" in message
        space.rerank("flat")
        space.wait_condition("Accepted", "True", "Accepted", "flat")
        operator.stop()
        operator.start()
        space.patch("rerankers", "flat", {"spec": {"suspend": True}})
        space.wait_condition("Available", "False", "Suspended", "flat")
    finally:
        space.delete("rerankers", "deep")
