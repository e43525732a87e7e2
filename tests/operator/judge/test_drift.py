"""What a live object lacks of what was applied, and which manager took it."""

from typing import Any

import pytest

from podium_operator.judge.drift import difference, lacks, restored, taker


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
        pytest.param({"limits": {"m": "1Gi"}}, {"limits": {"m": "1024Mi"}}, [], id="the-same-quantity"),
        pytest.param({"averageValue": "2"}, {"averageValue": 2}, [], id="a-number-as-quantity"),
        pytest.param(
            {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1m"}}, ["requests.cpu"], id="another-quantity"
        ),
        pytest.param({"labels": {"v": "1.1"}}, {"labels": {"v": "1.10"}}, ["labels.v"], id="no-quantity"),
        pytest.param({"env": []}, {"env": [{"name": {"a": 1}}]}, ["env[{'a': 1}]"], id="an-odd-key"),
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


SERVICE_PORT = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}


@pytest.mark.parametrize(
    ("live", "wanted", "result"),
    [
        pytest.param(
            {"ports": [{"name": "http", "port": 81, "protocol": "TCP"}, {"name": "x", "port": 9}]},
            {"ports": [SERVICE_PORT]},
            {"ports": [SERVICE_PORT, {"name": "x", "port": 9}]},
            id="a-port-that-was-moved-goes-and-another-stays",
        ),
        pytest.param(
            {"ports": [{"port": 81}]}, {"ports": [SERVICE_PORT]}, {"ports": [SERVICE_PORT]}, id="no-name"
        ),
        pytest.param(
            {"ports": [{**SERVICE_PORT, "nodePort": 30080, "targetPort": 1}]},
            {"ports": [SERVICE_PORT]},
            {"ports": [{**SERVICE_PORT, "nodePort": 30080}]},
            id="what-the-server-added-to-ours-stays",
        ),
        pytest.param(
            {"env": [{"name": "a", "valueFrom": {}}, {"name": "theirs"}]},
            {"env": [{"name": "a", "value": "1"}]},
            {"env": [{"name": "a", "value": "1"}, {"name": "theirs"}]},
            id="a-variable-has-one-source",
        ),
        pytest.param(
            {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "theirs", "emptyDir": {}}]},
            {"volumes": [{"name": "a", "hostPath": {}}]},
            {"volumes": [{"name": "a", "hostPath": {}}, {"name": "theirs", "emptyDir": {}}]},
            id="a-volume-has-one-source",
        ),
        pytest.param(
            {"minAvailable": 2, "selector": {"a": "b"}},
            {"maxUnavailable": 1},
            {"maxUnavailable": 1, "selector": {"a": "b"}},
            id="a-budget-has-one-bound",
        ),
        pytest.param(
            {"probe": {"exec": {}, "periodSeconds": 5}},
            {"probe": {"httpGet": {"port": 1}}},
            {"probe": {"httpGet": {"port": 1}, "periodSeconds": 5}},
            id="a-probe-has-one-kind",
        ),
        pytest.param({"replicas": 5}, {"paused": True}, {"replicas": 5, "paused": True}, id="the-rest-stays"),
    ],
)
def test_ours_is_put_back_and_only_what_cannot_stand_beside_it_goes(
    live: Any, wanted: Any, result: Any
) -> None:
    assert restored(live, wanted) == result
    assert list(lacks(result, wanted)) == []


def test_a_merge_patch_takes_out_changes_and_adds_and_leaves_the_rest() -> None:
    live = {"same": 1, "old": 2, "deep": {"keep": 1, "move": 2, "drop": 3}, "list": [1, 2]}
    wanted = {"same": 1, "deep": {"keep": 1, "move": 4}, "list": [2], "new": 5}
    assert difference(live, wanted) == {
        "old": None, "deep": {"move": 4, "drop": None}, "list": [2], "new": 5,
    }  # fmt: skip
    assert difference(live, live) == {}
