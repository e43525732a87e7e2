"""Each alert fires when it should and is silent when it should be, by promtool's own clock."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from chart.helm import CHARTS
from prometheus import needs_prometheus, promtool

ALERTS = CHARTS / "podium" / "files" / "alerts.yaml"
DOCS = CHARTS.parent / "docs"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

RERANKER = {"namespace": "search", "reranker": "demo"}
SERVICE = {"namespace": "search", "service": "demo"}
POD = {**SERVICE, "pod": "demo-0"}
OF = "podium_operator_reranker_"


def series(name: str, labels: dict[str, str], values: str, **more: str) -> tuple[str, str]:
    """Return a series of promtool's: a value a minute."""
    told = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    return f"{name}{{{told}}}", values


def condition(kind: str, status: str, reason: str, values: str = "1x60") -> list[tuple[str, str]]:
    """Return the series of a condition of the Reranker, false since the minute 0."""
    return [
        series(f"{OF}condition", RERANKER, values, condition=kind, status=status),
        series(f"{OF}reason", RERANKER, values, condition=kind, reason=reason),
        series(f"{OF}condition_timestamp_seconds", RERANKER, "0x60", condition=kind),
    ]


def gauge(name: str, values: str) -> tuple[str, str]:
    """Return a number of the Reranker."""
    return series(f"{OF}{name}", RERANKER, values)


def answered(status: str, values: str) -> tuple[str, str]:
    """Return the counter of answers with a status."""
    return series("podium_requests_total", POD, values, dialect="cohere", status=status)


class Case(NamedTuple):
    """Series in which an alert fires at `at` with these labels and words, and others in which it does not."""

    alert: str
    at: str
    fires: list[tuple[str, str]]
    silent: list[tuple[str, str]]
    labels: dict[str, str]
    description: str
    id: str = ""
    rule: int = 0
    """Which of the rules with this name it is."""


NOBODY = [gauge("ready_replicas", "0x60")]

CASES = [
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "CrashLoopBackOff")],
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "Suspended")],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.",
    ),
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas")],
        [*NOBODY, gauge("desired_replicas", "0x60"), *condition("Available", "False", "NoReadyReplicas")],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.", "none wanted",
    ),
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [
            *NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas"),
            *condition("CacheReady", "False", "NoSpace"),
        ],
        [
            *NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas"),
            *condition("CacheReady", "False", "Downloading"),
        ],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.", "downloading",
    ),
    Case(
        "PodiumRerankerNotReady", "22m",
        [gauge("progress_deadline_seconds", "1200x60"), *condition("Ready", "Unknown", "Downloading")],
        [gauge("progress_deadline_seconds", "1800x60"), *condition("Ready", "Unknown", "Downloading")],
        RERANKER,
        "search/demo is not Ready for 22m 0s, longer than its progress deadline, or its roll got no further "
        "for that long.",
    ),
    Case(
        "PodiumRerankerNotReady", "5m",
        [
            gauge("progress_deadline_seconds", "1200x60"), *condition("Ready", "False", "CrashLoopBackOff"),
            *condition("Progressing", "False", "ProgressDeadlineExceeded"),
        ],
        [
            gauge("progress_deadline_seconds", "1x60"), *condition("Ready", "False", "Suspended"),
            *condition("Progressing", "False", "ProgressDeadlineExceeded"), gauge("desired_replicas", "0x60"),
        ],
        RERANKER,
        "search/demo is not Ready for 5m 0s, longer than its progress deadline, or its roll got no further "
        "for that long.",
        "the roll is stuck",
    ),
    Case(
        "PodiumDownloadFailing", "6m",
        [
            # Every other minute it is tried again.
            gauge("download_attempts", "3x60"),
            *condition("CacheReady", "False", "GatedModel", "1 _ 1 _ 1 _ 1"),
            *condition("CacheReady", "False", "Downloading", "1x60"),
        ],
        [gauge("download_attempts", "1x60"), *condition("CacheReady", "False", "Downloading")],
        RERANKER, "3 downloads were begun for search/demo, and the last one failed or cannot run.",
    ),
    Case(
        "PodiumDownloadFailing", "6m",
        [
            gauge("download_attempts", "2x60"), *condition("CacheReady", "False", "Downloading"),
            *condition("Degraded", "True", "DownloadFailingOldServing"),
        ],
        [
            gauge("download_attempts", "2x60"), *condition("CacheReady", "True", "Downloaded"),
            *condition("Degraded", "True", "DownloadFailingOldServing"),
        ],
        RERANKER, "2 downloads were begun for search/demo, and the last one failed or cannot run.",
        "the old model serves",
    ),
    Case(
        "PodiumSelfTestFailing", "2m",
        condition("Available", "False", "SelfTestFailed"), condition("Available", "False", "ModelLoadFailed"),
        RERANKER, "A condition of search/demo says SelfTestFailed: its pods do not serve.",
    ),
    Case(
        "PodiumImageBehind", "25h",
        [gauge("up_to_date", "0x1600")], [gauge("up_to_date", "0x1200 1x400")],
        RERANKER,
        "The pods of search/demo run an older image or template than the operator would give them, for 1 day "
        "(up to date: 0).",
    ),
    Case(
        "PodiumQueueTooOld", "3m",
        [
            series("podium_queue_oldest_seconds", POD, "240x10"),
            series("podium_request_timeout_seconds", POD, "300x10"),
        ],
        [
            series("podium_queue_oldest_seconds", POD, "140x10"),
            series("podium_request_timeout_seconds", POD, "300x10"),
        ],
        SERVICE,
        "The oldest waiting request of search/demo has used 80% of its time limit, and no batch of it has "
        "ended.",
    ),
    Case(
        "PodiumErrorRate", "12m",
        [answered("200", "0+90x20"), answered("503", "0+10x20")],
        [answered("200", "0+97x20"), answered("503", "0+3x20"), answered("422", "0+90x20")],
        SERVICE, "10% of the requests to search/demo were answered 5xx in the last 5 minutes.",
    ),
    Case(
        "PodiumOverloaded", "25m",
        [answered("429", "0+60x40"), gauge("desired_replicas", "4x40"), gauge("max_replicas", "4x40")],
        [answered("429", "0+60x40"), gauge("desired_replicas", "3x40"), gauge("max_replicas", "4x40")],
        SERVICE,
        "1 requests a second to search/demo are refused with 429 for 15 minutes, while it has all pods that "
        "it may have.",
    ),
    Case(
        "PodiumOutOfMemory", "10m",
        [series("podium_split_batches_total", POD, "0x5 2x10")],
        [series("podium_split_batches_total", POD, "2x20")],
        SERVICE,
        "2 batches of search/demo were split because memory ran out, in 15 minutes.",
    ),
    Case(
        "PodiumOutOfMemory", "2m",
        condition("Available", "False", "OOMKilled"), condition("CacheReady", "False", "OOMKilled"),
        SERVICE, "A condition of search/demo says OOMKilled: a container took more than its limit.",
        "killed", 1,
    ),
    Case(
        "PodiumDeviceFailure", "10m",
        [series("podium_device_failures_total", POD, "0x5 1x10")],
        [series("podium_device_failures_total", POD, "0x20")],
        POD,
        "1 batches of pod search/demo-0 failed together with the self-test behind them, or lost the device, "
        "in 10 minutes.",
    ),
    Case(
        "PodiumOperatorDown", "6m",
        [series("podium_operator_leader", {"pod": "a"}, "0x10")],
        [
            series("podium_operator_leader", {"pod": "a"}, "0x10"),
            series("podium_operator_leader", {"pod": "b"}, "1x10"),
        ],
        {}, "For 5 minutes no operator that Prometheus scrapes has held its Lease.",
    ),
    Case(
        "PodiumOperatorStalled", "20m",
        [
            series("podium_operator_queue_depth", {"job": "operator"}, "7x30"),
            series("podium_operator_reconciles_total", {"job": "operator"}, "5x30", result="success"),
        ],
        [
            series("podium_operator_queue_depth", {"job": "operator"}, "7x30"),
            series("podium_operator_reconciles_total", {"job": "operator"}, "5+1x30", result="success"),
        ],
        {"job": "operator"}, "7 Rerankers wait for the operator, and it has looked at none for 10 minutes.",
    ),
    Case(
        "PodiumOperatorStalled", "3m",
        [series("podium_operator_stuck_seconds", {"job": "operator"}, "60+60x10")],
        [series("podium_operator_stuck_seconds", {"job": "operator"}, "30 60 0x10")],
        {"job": "operator"}, "A worker has got no further with one Reranker for 4m 0s.", "a worker hangs", 1,
    ),
    Case(
        "PodiumWatchBehind", "6m",
        [series("podium_operator_watch_behind", {"kind": "Pod"}, "3x10")],
        [series("podium_operator_watch_behind", {"kind": "Pod"}, "3 3 0x10")],
        {"kind": "Pod"}, "3 objects of kind Pod are newer than what a watch delivered, for 5 minutes.",
    ),
]  # fmt: skip


@needs_prometheus
def test_promtool_takes_the_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", ALERTS)


@needs_prometheus
@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.alert} {case.id}".strip()) for case in CASES])
def test_an_alert_fires_with_its_numbers_and_is_silent_otherwise(case: Case, tmp_path: Path) -> None:
    rule = [rule for rule in RULES if rule["alert"] == case.alert][case.rule]
    summary = re.sub(
        r"\{\{ \$labels\.(\w+) \}\}", lambda label: case.labels[label[1]], rule["annotations"]["summary"]
    )
    annotations = {"summary": summary, "description": case.description}
    expected = [{"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": annotations}]
    tests = [_test(case, case.fires, expected), _test(case, case.silent, [])]
    path = tmp_path / "test.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests})
    )
    promtool("test", "rules", path)


def _test(case: Case, given: list[tuple[str, str]], expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in dict(given).items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
    }


def test_every_rule_has_a_case() -> None:
    rules, cases = [rule["alert"] for rule in RULES], [case.alert for case in CASES]
    assert set(rules) == set(cases)
    assert all(cases.count(name) >= rules.count(name) for name in rules)


def test_every_alert_names_metrics_that_are_documented() -> None:
    documented = set()
    for page in ("metrics.md", "operations.md"):
        documented |= set(re.findall(r"^\| `(podium_\w+)`", (DOCS / page).read_text(), re.MULTILINE))
    for rule in RULES:
        named = set(re.findall(r"\bpodium_\w+", rule["expr"]))
        assert named
        assert named <= documented, rule["alert"]


def test_every_alert_has_an_entry_in_the_runbooks_and_none_is_left_over() -> None:
    parts = re.split(r"^## ", (DOCS / "runbooks.md").read_text(), flags=re.MULTILINE)[1:]
    entries = {part.split("\n")[0].strip(): part for part in parts}
    assert set(entries) == {rule["alert"] for rule in RULES}
    for name, text in entries.items():
        for what in ("**Users feel**", "**Look at**", "**Do**"):
            assert text.count(what) == 1, name
