"""Prometheus itself: `promtool` on rules, and a server that scrapes what a test serves."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DASHBOARDS = Path(__file__).parents[1] / "charts" / "podium" / "dashboards"
FOLDER = os.environ.get("PODIUM_PROMETHEUS")
HOW = (
    "needs Prometheus: put `prometheus` and `promtool` on the PATH or name their folder in "
    "PODIUM_PROMETHEUS; on Debian `apt-get download prometheus && dpkg -x prometheus_*.deb DIR` unpacks "
    "them to DIR/usr/bin"
)
PATIENCE_S = 60
"""What a test waits for scrapes, one a second; only a failure takes as long."""


def find(program: str) -> str | None:
    """Return the path of a program of Prometheus, from PODIUM_PROMETHEUS or the PATH."""
    return shutil.which(program, path=FOLDER) if FOLDER else shutil.which(program)


needs_prometheus = pytest.mark.skipif(find("prometheus") is None or find("promtool") is None, reason=HOW)


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it printed; AssertionError with that where it fails."""
    program = find("promtool")
    assert program is not None, HOW
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A server that answers."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str) -> Any:
        """Return the `data` of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series of an expression now, each with `metric` and `value`."""
        return [each for each in self.get("query", query=expression)["result"] if each["value"][1] != "NaN"]

    def metrics(self) -> set[str]:
        """Return the names of all metrics that its targets tell of, those without a series yet, too."""
        return {_family(name) for name in self.get("metadata")}

    def has_data(self, expression: str) -> bool:
        """Whether an expression has a series that is a number."""
        return bool(self.query(expression))


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.2)


@contextlib.contextmanager
def scraping(folder: Path, targets: dict[int, dict[str, str]]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes these ports of loopback, each with its labels, every second.

    Labels that a series brings itself stay, as the chart's monitors have it.
    """
    program = find("prometheus")
    assert program is not None, HOW
    static = [{"targets": [f"127.0.0.1:{port}"], "labels": labels} for port, labels in targets.items()]
    job = {"job_name": "podium", "honor_labels": True, "static_configs": static}
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            server = Prometheus(port)
            until(lambda: process.poll() is not None or _ready(port), "prometheus is ready")
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield server
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).status == 200)
    except OSError:
        return False


def dashboard(name: str) -> list[tuple[str, str]]:
    """Return title and expression of every query of a dashboard, as Grafana would send them."""
    panels = json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]
    return [(panel["title"], as_sent(target["expr"])) for panel in panels for target in panel["targets"]]


def alert_metrics() -> set[str]:
    """Return the metrics that alerts name."""
    path = Path(__file__).parents[1] / "charts" / "podium" / "files" / "alerts.yaml"
    rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    return {_family(name) for rule in rules for name in re.findall(r"\bpodium_\w+", rule["expr"])}


def _family(name: str) -> str:
    """Return a metric's name as both formats have it: OpenMetrics leaves a counter's `_total` out."""
    return name.removesuffix("_total")


def as_sent(expression: str, rate_interval: str = "1m") -> str:
    """Return an expression with all of Grafana's variables in their places."""
    values = {"$namespace": ".*", "$service": ".*", "$__rate_interval": rate_interval}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression
