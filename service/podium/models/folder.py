"""What lies in a model's folder: its JSON files, its chat template, the names and shapes of its tensors.

Reading only: nothing is decided here, no weights are loaded, and neither torch nor transformers is needed.
"""

import json
import struct
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from podium.errors import PermanentStartError, Reason

OBJECTS = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "adapter_config.json",
)
"""Files at the top that are read where they are there; each holds one JSON object."""

MODULES = "modules.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model*.bin",)
_LARGEST_HEADER = 100 << 20


class TensorInfo(NamedTuple):
    """One tensor of a safetensors file."""

    file: str
    """Path inside the folder."""
    dtype: str
    """As safetensors names it: `F32`, `BF16`, `F16`."""
    shape: tuple[int, ...]


class Folder(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What lies in a model's folder."""

    path: Path
    files: tuple[str, ...] = ()
    """Paths inside the folder, two levels deep, sorted."""
    json: Mapping[str, Any]
    """Path inside the folder to what the file says: OBJECTS, modules.json, and each `*/config.json`."""
    chat_template: str | None = None
    """The default one, as transformers chooses it."""
    chat_template_from: str | None = None
    """The file that holds it."""
    truncation_side: str = "right"
    """What tokenizer.json says, where it says so."""
    tensors: Mapping[str, TensorInfo] = {}
    """Name to tensor, of the safetensors at the top."""
    module_tensors: Mapping[str, Mapping[str, TensorInfo]] = {}
    """Subfolder to its tensors, where it has safetensors: `1_Dense` to `linear.weight`, …"""
    pickles: tuple[str, ...] = ()
    """Pickled weights, subfolders included."""

    def object(self, name: str) -> dict[str, Any]:
        """Return what a JSON file says; nothing where it is not there."""
        found: dict[str, Any] = self.json.get(name, {})
        return found

    @property
    def config(self) -> dict[str, Any]:
        """What config.json says."""
        return self.object("config.json")

    @property
    def architecture(self) -> str | None:
        """The first class in config.json's `architectures`."""
        named = self.config.get("architectures")
        return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else None

    def token_id(self, token: str) -> int | None:
        """Return a token's id; None where the vocabulary has it not, or cannot be read."""
        return self._vocabulary.get(token)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return _vocabulary(self.path)


def module_path(entry: Mapping[str, Any]) -> str:
    """Return the subfolder of an entry of modules.json as its files are named here; "" for the top."""
    path = str(PurePosixPath(str(entry.get("path", ""))))
    return "" if path == "." else path


def read(path: Path) -> Folder:
    """Read a folder.

    Raises PermanentStartError where config.json is missing, where a JSON file is not what it must be, and
    where a safetensors file is missing or cut.
    """
    names = _names(path)
    if "config.json" not in names:
        raise refused(f"`{path}` holds no config.json; give the folder of a whole model")
    parsed: dict[str, Any] = {name: _object(path / name) for name in OBJECTS if name in names}
    if MODULES in names:
        parsed[MODULES] = _objects(path / MODULES)
    for name in names:
        if name.endswith("/config.json"):
            parsed[name] = _object(path / name)
    template, source = _chat_template(path, names, parsed)
    return Folder(
        path=path,
        files=names,
        json=parsed,
        chat_template=template,
        chat_template_from=source,
        truncation_side=_truncation_side(path / "tokenizer.json"),
        tensors=_tensors(path, names),
        module_tensors={
            name.partition("/")[0]: _header(path, name) for name in names if name.endswith(f"/{WEIGHTS}")
        },
        pickles=tuple(name for name in names if any(Path(name).match(pattern) for pattern in _PICKLES)),
    )


def refused(message: str) -> PermanentStartError:
    """Return the refusal of a folder; trying again changes nothing."""
    return PermanentStartError(Reason.MODEL_LOAD_FAILED, message)


def first_line(error: BaseException) -> str:
    """Return what an error says, its class before it, on one line of at most 300 characters."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]


def _names(path: Path) -> tuple[str, ...]:
    try:
        found = [*path.glob("*"), *path.glob("*/*")]
    except OSError as error:
        raise refused(f"`{path}` cannot be read: {error}") from error
    return tuple(sorted(str(file.relative_to(path)) for file in found if file.is_file()))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise refused(f"`{path}` cannot be read: {error}") from error


def _object(path: Path) -> dict[str, Any]:
    parsed = _json(path)
    if not isinstance(parsed, dict):
        raise refused(
            f"`{path}` holds {_kind(parsed)}, not a JSON object; restore it from the model's origin"
        )
    return parsed


def _objects(path: Path) -> list[dict[str, Any]]:
    parsed = _json(path)
    if not isinstance(parsed, list) or not parsed or not all(isinstance(one, dict) for one in parsed):
        raise refused(
            f"`{path}` holds {_kind(parsed)}, not a list of modules; restore it from the model's origin"
        )
    return parsed


def _kind(parsed: Any) -> str:
    if parsed is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(parsed), "a number")


def _chat_template(
    path: Path, names: tuple[str, ...], parsed: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """Return the default chat template and its file: chat_template.jinja wins over tokenizer_config.json."""
    if "chat_template.jinja" in names:
        try:
            return (path / "chat_template.jinja").read_text(encoding="utf-8"), "chat_template.jinja"
        except (OSError, ValueError) as error:
            raise refused(f"`{path / 'chat_template.jinja'}` cannot be read: {error}") from error
    said = parsed.get("tokenizer_config.json", {}).get("chat_template")
    if isinstance(said, list):
        named = {one.get("name"): one.get("template") for one in said if isinstance(one, dict)}
        said = named.get("default")
    return (said, "tokenizer_config.json") if isinstance(said, str) else (None, None)


class _Truncation(msgspec.Struct):
    direction: str = "right"


class _Tokenizer(msgspec.Struct):
    truncation: _Truncation | None = None


def _truncation_side(path: Path) -> str:
    try:
        said = msgspec.json.decode(path.read_bytes(), type=_Tokenizer).truncation
    except (OSError, ValueError):  # who needs the tokenizer says what is wrong with it
        return "right"
    return "right" if said is None else said.direction.lower()


def _tensors(path: Path, names: tuple[str, ...]) -> dict[str, TensorInfo]:
    """Return the tensors of `model.safetensors`, of the files that its index names, or of the only file."""
    if WEIGHTS in names:
        return _header(path, WEIGHTS)
    if INDEX not in names:
        loose = [name for name in names if name.endswith(".safetensors") and "/" not in name]
        pickled = any(fnmatchcase(name, pattern) for name in names for pattern in _PICKLES)
        return _header(path, loose[0]) if len(loose) == 1 and not pickled else {}
    weight_map = _object(path / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise refused(f"`{path / INDEX}` has no `weight_map` of tensor names to files")
    tensors: dict[str, TensorInfo] = {}
    for file in sorted(set(weight_map.values())):
        if file not in names:
            lost = sum(1 for other in weight_map.values() if other == file)
            raise refused(
                f"`{path}` lacks the shard {file} with {lost} of the tensors that {INDEX} names; fetch the "
                "model again"
            )
        tensors.update(_header(path, file))
    if missing := sorted(set(weight_map) - set(tensors)):
        raise refused(
            f"the shards in `{path}` lack {len(missing)} tensors that {INDEX} names: "
            f"{', '.join(missing[:6])}; fetch the model again"
        )
    return tensors


def _header(path: Path, name: str) -> dict[str, TensorInfo]:
    """Return the tensors of one safetensors file; its header says how long the file must be."""
    file = path / name
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if size < 8:
                raise ValueError(f"it has {size} bytes")  # noqa: TRY301 told below
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _LARGEST_HEADER):
                raise ValueError(f"its header has {length} bytes, the file {size}")  # noqa: TRY301 told below
            entries = json.loads(stream.read(length))
        entries.pop("__metadata__", None)
        tensors = {
            tensor: TensorInfo(name, str(entry["dtype"]), tuple(int(side) for side in entry["shape"]))
            for tensor, entry in entries.items()
        }
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        if end > size:
            raise ValueError(f"it has {size} of {end} bytes")  # noqa: TRY301 told below
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise refused(
            f"the weights `{file}` are cut, or are no safetensors file ({error}); fetch the model again"
        ) from error
    return tensors


def _vocabulary(path: Path) -> dict[str, int]:
    """Return token to id of tokenizer.json or vocab.json, added tokens included."""
    try:
        parsed = json.loads((path / "tokenizer.json").read_bytes())
        vocabulary = parsed["model"]["vocab"]
        if isinstance(vocabulary, list):
            vocabulary = {entry[0]: index for index, entry in enumerate(vocabulary)}
        return {**vocabulary, **{added["content"]: added["id"] for added in parsed.get("added_tokens", [])}}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        pass
    try:
        vocabulary = json.loads((path / "vocab.json").read_bytes())
        return vocabulary if isinstance(vocabulary, dict) else {}
    except (OSError, ValueError):
        return {}
