"""The settings as options of commands, generated from the struct that defines them."""

import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import click
import msgspec

from podium.cli.environment import is_service_link
from podium.settings import FIELDS, SettingError, Settings, variable

Command = TypeVar("Command", bound=Callable[..., Any])


class Described(NamedTuple):
    """What help and documents say of a setting."""

    flag: str
    variable: str
    values: str
    """What it takes: a unit such as `SECONDS`, the values such as `[true|false]`, or TEXT."""
    default: str | None
    """None where it follows from the model or the device, as the description says."""
    description: str


def describe(name: str) -> Described:
    """Return what is to be said of a setting.

    A number's unit is the first word of its description.
    """
    kind, description = _unwrap(FIELDS[name])
    if kind is bool:
        values = "[true|false]"
    elif typing.get_origin(kind) is Literal:
        values = f"[{'|'.join(typing.get_args(kind))}]"
    elif kind in {int, float}:
        values = description.split()[0].upper()
    else:
        values = "TEXT"
    default = next(field.default for field in msgspec.structs.fields(Settings) if field.name == name)
    return Described(f"--{name.replace('_', '-')}", variable(name), values, _text(default), description)


def _unwrap(annotation: object) -> tuple[object, str]:
    """Return the bare type and the description of an annotated, perhaps optional, setting."""
    description = ""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation, *metas = typing.get_args(annotation)
            found = (meta.description for meta in metas if isinstance(meta, msgspec.Meta))
            description = description or next(filter(None, found), "")
        elif NoneType in typing.get_args(annotation):
            annotation = next(kind for kind in typing.get_args(annotation) if kind is not NoneType)
        else:
            return annotation, description


def _text(default: object) -> str | None:
    if default is None:
        return None
    return str(default).lower() if isinstance(default, bool) else f"{default}"


class SettingOption(click.Option):
    """An option whose variable is not mistaken for one that Kubernetes sets."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value, None where it is not set."""
        value = super().resolve_envvar_value(ctx)
        if value is not None and is_service_link(str(self.envvar), value):
            return None
        return value


def setting_options(*names: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings, read from flag, variable, `.env`, default."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            said = describe(name)
            command = click.option(
                said.flag,
                name,
                cls=SettingOption,
                metavar=said.values,
                default=said.default,
                show_default=bool(said.default),
                envvar=said.variable,
                show_envvar=True,
                help=said.description,
                # `--offline` alone means `--offline true`.
                **({"is_flag": False, "flag_value": "true"} if said.values == "[true|false]" else {}),
            )(command)
        return command

    return decorate


def to_settings(values: Iterable[tuple[str, str | None]]) -> Settings:
    """Check what the options gave; a setting that cannot work ends the command with exit code 2."""
    try:
        return Settings.from_strings({name: value for name, value in values if value is not None})
    except SettingError as error:
        raise click.UsageError(str(error)) from None


termination_log = click.option(
    "--termination-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that gets the outcome as JSON; default: /dev/termination-log where Kubernetes put one.",
)
