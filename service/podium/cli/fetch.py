"""`podium fetch`."""

from pathlib import Path

import click
import msgspec
from rich.filesize import decimal

from podium.cli.options import SettingOption, setting_options, termination_log, to_settings
from podium.cli.outcome import Outcome, ends_by_reason, leave
from podium.cli.progress import downloading, measured
from podium.errors import PodiumError
from podium.settings import Settings
from podium.weights import fetch as weights
from podium.weights import marker
from podium.weights.source import parse


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
@setting_options("cache_dir", "offline", "dtype", "family", "instruction", "max_length", "allow_pickle")
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

    With `--dtype int8` the scales are taken as well and put beside the model, so that no start need take
    them. Give what `podium serve` is given of the options from there on: scales serve no other way of
    reading. Where they cannot be taken, that is said, the download stays good, and a start takes them itself.

    Exit codes: 0 done, 2 usage, 42 trying again changes nothing (401, 403, 404, a wrong checksum),
    75 trying again may help (429, 5xx, TLS, proxy, network, space).
    """
    settings = to_settings({**values, "model": uri}.items())
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
    click.echo(f"podium: {done}", err=True)
    if settings.dtype == "int8":
        click.echo(f"podium: int8: {_scales(fetched, settings)}", err=True)
    leave(termination_log, Outcome(None, done, bytes=fetched.bytes, resolved_revision=fetched.revision))
    click.echo(fetched.folder)


def _scales(fetched: weights.Fetched, settings: Settings) -> str:
    """Put the scales beside the model; return what became of it."""
    if parse(settings.model).repository and marker.read(fetched.folder) is None:
        return "a start takes the scales itself: the hub's own cache, where the model lies, is never written"
    from podium.loading import load_fetched  # torch, which no other download needs
    from podium.models import integers

    try:
        integers.check_memory(fetched.folder)
        on_cpu = msgspec.structs.replace(settings, device="cpu", trust_remote_code=False)
        load_fetched(fetched, on_cpu, keep_scales=True)
    except PodiumError as error:
        return f"a start takes the scales itself: {error.message}"
    return f"the scales lie in {fetched.folder / integers.SCALES}"
