"""What a live object lacks of what was applied, and which manager took it."""

from typing import Any

import pytest

from podium_operator.drift import lacks, taker


@pytest.mark.parametrize(
    ("live", "wanted", "paths"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, [], id="more-than-wanted"),
        pytest.param({"a": 1}, {"a": 2}, ["a"], id="other-value"),
        pytest.param({}, {"a": {"b": 1}}, ["a"], id="missing"),
        pytest.param({"a": {}}, {"a": {}}, [], id="empty-mapping"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, ["a"], id="a-list-of-one-owner-is-compared-whole"),
        pytest.param({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, [], id="defaults-inside-a-list"),
        pytest.param(
            {"env": [{"name": "theirs"}, {"name": "ours", "value": "1"}]},
            {"env": [{"name": "ours", "value": "1"}]},
            [],
            id="a-shared-list-by-its-keys",
        ),
        pytest.param({"env": []}, {"env": [{"name": "ours"}]}, ["env[ours]"], id="an-item-that-is-gone"),
        pytest.param(
            {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1}]},
            {"ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}]},
            ["ports[80/TCP].targetPort"],
            id="a-field-of-an-item",
        ),
        pytest.param({"memory": "1Gi"}, {"memory": "1024Mi"}, [], id="the-same-quantity"),
        pytest.param({"cpu": "2"}, {"cpu": 2}, [], id="a-number-as-quantity"),
        pytest.param({"cpu": "1"}, {"cpu": "1m"}, ["cpu"], id="another-quantity"),
    ],
)
def test_only_what_was_applied_is_looked_for(live: Any, wanted: Any, paths: list[str]) -> None:
    assert list(lacks(live, wanted)) == paths


def test_the_taker_is_the_manager_that_has_the_field_the_newest_first() -> None:
    def entry(manager: str, time: str, fields: Any) -> dict[str, Any]:
        return {"manager": manager, "time": time, "fieldsV1": fields}

    replicas = {"f:spec": {"f:replicas": {}}}
    live = {
        "foreignManagers": [
            entry("old", "2026-01-01", replicas),
            entry("new", "2026-01-02", replicas),
            entry("other", "2026-01-03", {"f:metadata": {}}),
        ]
    }
    assert taker(live, "spec.replicas") == "new"
    assert taker(live, "spec.selector") == "other", "a removed field has no manager: who wrote last did it"
    assert taker({}, "spec.replicas") == "unknown"
