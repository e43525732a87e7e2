"""Every setting of the service: one struct, read once from a mapping of strings.

A setting `max_length` is the variable `PODIUM_MAX_LENGTH` and the flag `--max-length`. Only `cli`,
`server` and `loading` read settings; what lies below is handed its values.
"""

import typing
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MIB = 1024 * 1024
DEFAULT_CACHE = "~/.cache/podium"


class SettingError(ValueError):
    """A setting that cannot work; the message names it, its value and what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings with their defaults; None means that the value follows from the model or the device."""

    model: Annotated[str, Meta(description="`builtin`, a local folder, or a hub id such as `org/name`")] = (
        "builtin"
    )
    revision: Annotated[str | None, Meta(description="branch, tag or commit of a hub model")] = None
    served_model_name: Annotated[str | None, Meta(description="name in answers; default: the model")] = None
    host: Annotated[
        str, Meta(description="address to listen on; `::` is IPv6 and IPv4, or IPv4 where there is no IPv6")
    ] = "::"
    port: Annotated[int, Meta(description="port to listen on, 0 takes a free one", ge=0, le=65535)] = 8080
    root_path: Annotated[str, Meta(description="prefix that a proxy in front leaves in the path")] = ""
    device: Annotated[
        str,
        Meta(description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"),
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        Meta(description="of the weights; the head is float32; `int8` on the CPU alone, and never by `auto`"),
    ] = "auto"
    max_length: Annotated[
        Annotated[int, Meta(ge=16)] | None,
        Meta(description="tokens of a pair; default: the model's own, at most 8192"),
    ] = None
    family: Annotated[
        str,
        Meta(
            description="how the model scores: `auto`, or a family of docs/models.md to overrule its folder"
        ),
    ] = "auto"
    instruction: Annotated[
        str | None,
        Meta(
            description="what makes a document relevant, for models that take one; default: the model's own"
        ),
    ] = None
    max_windows: Annotated[
        int, Meta(description="windows of a long document at most, where a request wants windows", ge=1)
    ] = 64
    max_batch_tokens: Annotated[
        Annotated[int, Meta(ge=16)] | None, Meta(description="tokens of a batch at most; default: by device")
    ] = None
    max_documents: Annotated[int, Meta(description="documents of a request at most", ge=1)] = 10_000
    max_body_bytes: Annotated[int, Meta(description="bytes of a body at most", ge=1024)] = 16 * MIB
    max_in_flight_bytes: Annotated[
        int, Meta(description="bytes of all bodies that are read or wait for their answer, at most", ge=1024)
    ] = 256 * MIB
    body_timeout_s: Annotated[float, Meta(description="seconds for headers and body to arrive", gt=0)] = 30
    request_timeout_s: Annotated[float, Meta(description="seconds for a request to be answered", gt=0)] = 300
    keep_alive_timeout_s: Annotated[
        float,
        Meta(
            description="seconds that a connection may rest; longer than clients and balancers keep theirs",
            gt=0,
        ),
    ] = 620
    drain_timeout_s: Annotated[
        float, Meta(description="seconds after SIGTERM for admitted requests to be answered", ge=0)
    ] = 30
    stall_timeout_s: Annotated[
        float, Meta(description="seconds for one batch, then the device is stuck and /livez fails", gt=0)
    ] = 120
    max_queue_pairs: Annotated[int, Meta(description="pairs waiting at most", ge=1)] = 20_000
    allow_priority: Annotated[
        bool, Meta(description="callers' `priority` counts: up to 10 s earlier or later than by arrival")
    ] = False
    cache_bytes: Annotated[int, Meta(description="bytes of remembered pair scores, 0: off", ge=0)] = 64 * MIB
    cache_ttl_s: Annotated[float, Meta(description="seconds that a pair score is remembered", gt=0)] = 300
    cache_dir: Annotated[
        str,
        Meta(
            description="folder for downloaded models, `~` is the home folder; by default a temporary one "
            "where that cannot be written"
        ),
    ] = DEFAULT_CACHE
    offline: Annotated[bool, Meta(description="never ask a hub; the model must lie in cache_dir")] = False
    allow_pickle: Annotated[
        bool, Meta(description="load pickled weights where no safetensors exist (a pickle runs code)")
    ] = False
    trust_remote_code: Annotated[
        bool, Meta(description="run the model's own code; needs a revision of 40 hex digits")
    ] = False
    preload: Annotated[
        bool, Meta(description="load the model before the port opens; false: while /readyz says 503")
    ] = True
    self_test: Annotated[
        Literal["strict", "warn", "off"], Meta(description="rank a known pair before saying ready")
    ] = "strict"
    document: Annotated[
        Literal["request", "object", "string"],
        Meta(description="text in answers of /rerank, /api/v1/rerank: on request, or always as …"),
    ] = "request"
    api_keys: Annotated[
        str | None,
        Meta(
            description="accepted keys, separated by commas; `KEY # NAME` names one (no comma in the name); "
            "default: none needed"
        ),
    ] = None
    api_keys_file: Annotated[
        str | None,
        Meta(
            description="file with one accepted key, or `KEY # NAME`, a line; one that begins with `#` is a "
            "comment"
        ),
    ] = None
    cors_origins: Annotated[
        str, Meta(description="origins allowed in browsers, separated by commas, or `*`")
    ] = ""
    page: Annotated[
        Literal["on", "off"], Meta(description="a page that ranks, at `/` for browsers; `off`: `/` is JSON")
    ] = "on"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto`: console on a terminal, else JSON")
    ] = "auto"

    @classmethod
    def from_strings(cls, values: Mapping[str, str]) -> typing.Self:
        """Read settings from `{"max_length": "512", …}`; an empty string means the default.

        Raises SettingError for an unknown name, a value that does not parse, or settings that exclude
        each other.
        """
        settings: dict[str, object] = {}
        for name, value in values.items():
            field = FIELDS.get(name)
            if field is None:
                raise SettingError(f"unknown setting `{name}`; `podium serve --help` lists them all")
            if value == "":
                continue
            try:
                settings[name] = msgspec.convert(value, field, strict=False)
            except msgspec.ValidationError as error:
                shown = "" if name == "api_keys" else f", got `{value}`"
                raise SettingError(f"{variable(name)}: {error}{shown}") from None
        self = cls(**settings)  # type: ignore[arg-type]
        self._check()
        return self

    def _check(self) -> None:
        if self.trust_remote_code and not is_commit(self.revision):
            raise SettingError(
                "PODIUM_TRUST_REMOTE_CODE needs PODIUM_REVISION with a commit of 40 hex digits, "
                f"got `{self.revision}`: a branch can change the code under you"
            )
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise SettingError(
                f"PODIUM_MAX_IN_FLIGHT_BYTES ({self.max_in_flight_bytes}) must be at least "
                f"PODIUM_MAX_BODY_BYTES ({self.max_body_bytes}), else the largest body is never accepted"
            )
        if self.root_path and not self.root_path.startswith("/"):
            raise SettingError(f"PODIUM_ROOT_PATH must begin with a slash, got `{self.root_path}`")


FIELDS: dict[str, object] = typing.get_type_hints(Settings, include_extras=True)
"""Name of each setting to its annotated type, in the order of the struct."""


def variable(name: str) -> str:
    """Return the environment variable of a setting: `max_length` → `PODIUM_MAX_LENGTH`."""
    return f"PODIUM_{name.upper()}"


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that an environment holds, names as in the struct, values still strings."""
    return {name: environment[variable(name)] for name in FIELDS if variable(name) in environment}


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit: 40 hex digits."""
    return revision is not None and len(revision) == 40 and all(c in "0123456789abcdef" for c in revision)
