"""A real Prometheus scrapes the operator: every panel has data, every metric of an alert is there."""

from pathlib import Path

from cluster.operator_process import OperatorProcess
from cluster.space import Space
from hub import Hub, downloading
from prometheus import alert_metrics, dashboard, needs_prometheus, scraping, until


@needs_prometheus
def test_every_panel_of_fleet_and_operator_has_data(
    operator: OperatorProcess, space: Space, tmp_path: Path
) -> None:
    labels = {"namespace": "podium-system", "job": "podium-operator", "pod": "podium-operator-0"}
    # As the PodMonitor of the Reranker has it.
    job = {"namespace": space.name, "reranker": "scaled", "pod": "scaled-dl-0"}
    with (
        Hub(
            {"config.json": b"{}", "model.safetensors": bytes(2**22)},
            hangs={"/model.safetensors": 2**20},
        ) as hub,
        downloading(hub, tmp_path / "fetched") as port,
        scraping(tmp_path, {operator.port: labels, port: job}) as prometheus,
    ):
        until(lambda: prometheus.has_data("podium_operator_leader"), "a scrape")
        space.rerank("demo")
        space.rerank("scaled", model={"uri": "hf://org/model"}, gpu={}, autoscaling={"maxReplicas": 4})
        for name in ("operator", "fleet"):
            for title, expression in dashboard(name):
                until(lambda asked=expression: prometheus.has_data(asked), f"{title}: {expression}")
        kept = f'podium_operator_reranker_desired_replicas{{namespace="{space.name}"}}'
        assert {each["metric"]["reranker"] for each in prometheus.query(kept)} == {"demo", "scaled"}
        named = {name for name in alert_metrics() if name.startswith("podium_operator_")}
        assert named
        assert named <= prometheus.metrics()
