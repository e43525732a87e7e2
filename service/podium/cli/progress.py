"""Downloads, and how far they are, on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
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
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


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

    def __call__(self, done: int, total: int) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            click.echo(f"podium: {self._uri}: {decimal(done)} of {decimal(total)}", err=True)
