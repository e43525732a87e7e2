"""A real Prometheus scrapes a live service: every panel has data, every metric of an alert is there."""

import html
import time
from pathlib import Path

import pytest
from prometheus import alert_metrics, dashboard, needs_prometheus, scraping, until
from serving import Serving, serving

from podium.models.load import load
from podium.telemetry.metrics import DownloadMetrics

BUILTIN = Path(__file__).parents[1] / "service" / "podium" / "builtin"

TRACE = "0af7651916cd43dd8448eb211c80319c"


def ask(server: Serving, query: str, *documents: str, **headers: str) -> int:
    """Rank; return the status."""
    return server.post("/v2/rerank", {"query": query, "documents": documents}, **headers).status


@pytest.mark.parametrize("name", ["service", "fleet", "operator"])
def test_the_picture_of_a_dashboard_has_every_panel(name: str) -> None:
    shown = html.unescape((BUILTIN.parents[2] / "docs" / "pictures" / f"{name}.svg").read_text())
    for title, _ in dashboard(name):
        assert f">{title}</text>" in shown, "draw it anew: PYTHONPATH=tests python tests/dashboards.py"


@needs_prometheus
def test_every_panel_of_the_service_has_data_and_exemplars_lead_to_traces(tmp_path: Path) -> None:
    with serving(lambda: load(BUILTIN, uri="builtin"), cache_bytes=2**20) as server:
        # What a GPU says, where this machine may have none.
        server.service.metrics.follow_device_memory(lambda: (2**30, 2**31))
        labels = {"namespace": "search", "service": "demo", "pod": "demo-0"}
        with scraping(tmp_path, {server.port: labels}) as prometheus:
            until(lambda: prometheus.has_data("podium_model_info"), "a scrape")

            def shown(expression: str) -> bool:
                """Whether a panel has data while requests come."""
                assert ask(server, "what do pandas eat?", "bamboo", str(time.time()), "long " * 9_000) == 200
                assert server.post("/v2/rerank", b"no JSON").status == 400
                return prometheus.has_data(expression)

            traced = f"00-{TRACE}-b7ad6b7169203331-01"
            assert ask(server, "which trace?", "this one", traceparent=traced) == 200
            for title, expression in dashboard("service"):
                until(lambda expression=expression: shown(expression), f"{title}: {expression}")
            asked = {"query": "podium_request_duration_seconds_bucket", "start": "0", "end": str(time.time())}
            assert TRACE in str(prometheus.get("query_exemplars", **asked))
            named = {name for name in alert_metrics() if not name.startswith("podium_operator_")}
            assert named
            downloads = {family.name for family in DownloadMetrics().registry.collect()}
            assert named - downloads <= prometheus.metrics()
