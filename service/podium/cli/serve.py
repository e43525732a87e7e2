"""`podium serve`."""

import os
import signal
import sys
from pathlib import Path

import click

from podium.cli import environment
from podium.cli.options import setting_options, termination_log, to_settings
from podium.cli.outcome import ends_by_reason
from podium.settings import FIELDS, SettingError


@click.command
@setting_options(*FIELDS)
@termination_log
def serve(termination_log: Path | None, **values: str | None) -> None:
    """Serve a model over HTTP until SIGTERM.

    Each option has a variable of the same name; a file `.env` in the working directory may set these too.
    Flag wins over variable, variable over `.env`. An empty value means the default.

    Exit codes: 0 after SIGTERM and the last answer, 2 for a setting that cannot work, 42 for a model that
    cannot be had, loaded or trusted, 75 where trying again may help.
    """
    settings = to_settings(values.items())
    # Until the server has handlers of its own: nobody has been let in, so nothing is left undone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from podium.server import app  # torch and litestar, which no help needs

    with ends_by_reason(termination_log):
        try:
            app.serve(settings, environment.unknown(os.environ.items()))
        except SettingError as error:
            raise click.UsageError(str(error)) from None
