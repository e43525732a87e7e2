"""Downloads, and how far they are, on stderr."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from prometheus_client import start_http_server
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from podium.settings import Settings
from podium.telemetry.metrics import DownloadMetrics
from podium.weights import fetch as weights


@contextmanager
def downloading(uri: str) -> Iterator[weights.Progress]:
    """Yield what `fetch` is to report to: a bar on a terminal, else a line each tenth."""
    if not sys.stderr.isatty():
        yield _Lines(uri)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    name = TextColumn("{task.description}", markup=False)
    with Progress(name, *columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(uri, total=None, visible=False)
        yield lambda far: progress.update(task, completed=far.bytes, total=far.wanted_bytes, visible=True)


def measured(report: weights.Progress, port: int) -> weights.Progress:
    """Return what reports to `report` and at `/metrics` on this port of every address, until the process
    ends.

    A port that cannot be had is told on stderr and holds no download up; nor does a scrape hold up its end.
    """
    metrics = DownloadMetrics()
    try:
        start_http_server(port, "::" if socket.has_dualstack_ipv6() else "0.0.0.0", metrics.registry)  # noqa: S104
    except OSError as error:
        click.echo(f"podium: port {port}: {error}; the download goes on without metrics", err=True)
        return report

    def both(far: weights.Downloaded) -> None:
        report(far)
        for name, value in far._asdict().items():
            getattr(metrics, name).set(value)

    return both


def fetch_shown(settings: Settings) -> weights.Fetched:
    """Fetch the model that the settings name, with its progress on standard error."""
    with downloading(settings.model) as report:
        return weights.fetch(
            settings.model,
            settings.revision,
            cache_dir=settings.cache_dir,
            offline=settings.offline,
            progress=report,
        )


class _Lines:
    def __init__(self, uri: str) -> None:
        self._uri, self._tenth = uri, -1

    def __call__(self, far: weights.Downloaded) -> None:
        tenth = far.bytes * 10 // max(far.wanted_bytes, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            click.echo(f"podium: {self._uri}: {decimal(far.bytes)} of {decimal(far.wanted_bytes)}", err=True)
