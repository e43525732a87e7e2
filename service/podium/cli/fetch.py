"""`podium fetch`."""

from pathlib import Path

import click
from rich.filesize import decimal

from podium.cli.options import SettingOption, setting_options, termination_log, to_settings
from podium.cli.outcome import Outcome, ends_by_reason, leave
from podium.cli.progress import downloading, measured
from podium.weights import fetch as weights


@click.command
@click.argument("uri", metavar="MODEL")
@setting_options("revision")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="New or empty folder to fill, not a mount itself.",
)
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Fetch these instead of what serving needs."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these out.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Bytes of the whole model at most.")
@setting_options("cache_dir", "offline")
@click.option(
    "--metrics-port",
    cls=SettingOption,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    envvar="PODIUM_METRICS_PORT",
    show_envvar=True,
    help="Port for /metrics while it downloads: bytes and files, done and wanted; default: none.",
)
@termination_log
def fetch(
    uri: str,
    to: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    max_bytes: int | None,
    metrics_port: int | None,
    termination_log: Path | None,
    **values: str | None,
) -> None:
    """Download MODEL, `org/name` on a hub, and print its folder.

    What serving needs is fetched: configuration, tokenizer, and the safetensors, or pytorch_model.bin where
    there are none. A download that was cut goes on where it ended, every file's digest is checked, and a
    model that is complete already needs no network. HF_ENDPOINT and HF_TOKEN name another hub and a token.

    Exit codes: 0 done, 2 usage, 42 trying again changes nothing (401, 403, 404, a wrong checksum),
    75 trying again may help (429, 5xx, TLS, proxy, network, space).
    """
    settings = to_settings(values.items())
    with ends_by_reason(termination_log), downloading(uri) as report:
        fetched = weights.fetch(
            uri,
            settings.revision,
            to=to,
            cache_dir=settings.cache_dir,
            offline=settings.offline,
            include=include,
            exclude=exclude,
            max_bytes=max_bytes,
            progress=measured(report, metrics_port) if metrics_port else report,
        )
    at = f" at {fetched.revision}" if fetched.revision else ""
    done = f"{uri}{at} is complete, {decimal(fetched.bytes)}"
    leave(termination_log, Outcome(None, done, bytes=fetched.bytes, resolved_revision=fetched.revision))
    click.echo(f"podium: {done}", err=True)
    click.echo(fetched.folder)
