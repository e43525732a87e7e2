"""Each alert fires when it should and is silent when it should be, by promtool's own clock."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.alert_cases import CASES, Case
from chart.helm import CHARTS
from prometheus import needs_prometheus, promtool

from podium_operator.seen import download_progress
from podium_operator.tell import events

ALERTS = CHARTS / "podium" / "files" / "alerts.yaml"
DOCS = CHARTS.parent / "docs"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


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
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in dict(given).items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
    }


def test_every_rule_has_a_case() -> None:
    rules, cases = [rule["alert"] for rule in RULES], [case.alert for case in CASES]
    assert set(rules) == set(cases)
    assert all(cases.count(name) >= rules.count(name) for name in rules)


def test_downloads_fail_by_every_reason_that_the_operator_does_not_call_on_the_way() -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == "PodiumDownloadFailing"]
    [silent] = re.findall(r'condition="CacheReady", reason!~"([\w|]+)"', rule["expr"])
    code = inspect.getsource(download_progress)
    assert set(silent.split("|")) == {reason for reason in events._ON_THE_WAY if f'"{reason}"' in code}


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
