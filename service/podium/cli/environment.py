"""Settings as strings from where users put them: the environment, and a file `.env`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import click
from dotenv import dotenv_values

from podium.settings import FIELDS, from_environment, variable

# In the namespace of a Service called `podium…` Kubernetes sets PODIUM_PORT=tcp://10.0.0.1:80,
# PODIUM_SERVICE_HOST, PODIUM_PORT_80_TCP_ADDR, PODIUM_WEB_SERVICE_PORT_HTTP, … in every pod.
_SERVICE_LINK = re.compile(r"PODIUM_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_\w+)")


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes, and not the user, set a variable."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))


def dotfile(path: Path = Path(".env")) -> dict[str, str]:
    """Return the settings that a file `.env` in the working directory holds, still as strings."""
    return from_environment(_lines(path))


def unknown(environment: Iterable[tuple[str, str]], path: Path = Path(".env")) -> list[str]:
    """Return a warning for each PODIUM_… variable that is no setting, in the environment and in `.env`."""
    known = {variable(name) for name in FIELDS}
    warnings = []
    for name, value in sorted({**_lines(path), **dict(environment)}.items()):
        if name.startswith("PODIUM_") and name not in known and not is_service_link(name, value):
            # Without the prefix, which would make everything look alike.
            close = get_close_matches(name.removeprefix("PODIUM_").lower(), FIELDS, n=1)
            hint = f"did you mean {variable(close[0])}?" if close else "`podium serve --help` lists them all"
            warnings.append(f"{name} is no setting of Podium and has no effect; {hint}")
    return warnings


def _lines(path: Path) -> dict[str, str]:
    try:
        return {name: value or "" for name, value in dotenv_values(path).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {path.absolute()}: {error}; mend or remove the file") from None
