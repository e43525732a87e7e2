"""What the chart makes of the files of alerts and dashboards."""

import pytest
from chart.helm import CHARTS, needs_helm, only, template
from chart.test_alerts import RULES


@needs_helm
def test_the_rules_of_the_release_are_the_file_each_with_its_page() -> None:
    rules = {"enabled": True, "labels": {"release": "prometheus"}}
    on = {"monitoring": {"rules": rules, "serviceMonitor": {"enabled": True}}}
    made = only(template("podium", values=on), "PrometheusRule")
    assert made["metadata"]["labels"]["release"] == "prometheus"
    found = [rule for group in made["spec"]["groups"] for rule in group["rules"]]
    for rule, original in zip(found, RULES, strict=True):
        url = rule["annotations"].pop("runbook_url")
        assert url.endswith(f"/docs/runbooks.md#{rule['alert'].lower()}")
        assert rule == original


@needs_helm
def test_dashboards_come_where_they_are_wanted_as_the_sidecar_looks_for_them() -> None:
    assert not [body for body in template("podium") if body["kind"] in ("ConfigMap", "PrometheusRule")]
    on = {"monitoring": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Podium"}}}}
    maps = [body for body in template("podium", values=on) if body["kind"] == "ConfigMap"]
    files = {path.name: path.read_text() for path in (CHARTS / "podium" / "dashboards").glob("*.json")}
    assert len(files) == 3
    data = {name: text for body in maps for name, text in body["data"].items()}
    assert {name.removeprefix("podium-"): text.strip() for name, text in data.items()} == {
        name: text.strip() for name, text in files.items()
    }
    for body in maps:
        assert body["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert body["metadata"]["annotations"] == {"grafana_folder": "Podium"}


@needs_helm
@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor", None])
def test_an_alert_on_an_absent_operator_is_there_only_where_the_operator_is_scraped(
    monitor: str | None,
) -> None:
    monitoring = {"rules": {"enabled": True}, **({monitor: {"enabled": True}} if monitor else {})}
    rules = only(template("podium", values={"monitoring": monitoring}), "PrometheusRule")
    alerts = {rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    assert ("PodiumOperatorDown" in alerts) is bool(monitor)
    assert {"PodiumOperatorStalled", "PodiumRerankerNotAvailable"} <= alerts
