"""Which files of a repository are fetched: pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from podium.errors import PermanentStartError, Reason

_DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken", "*.md", "LICENSE*", "NOTICE*")
_SAFETENSORS = ("*.safetensors",)
_PICKLES = ("pytorch_model*.bin",)


def select(names: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """Return the files to fetch, in the repository's order.

    Without `include` these are the files at the top that describe the model (config, tokenizer, code,
    licence) and its safetensors, or its pickled weights where there are no safetensors. Weights of other
    frameworks and everything in folders (`onnx/`, `openvino/`, old checkpoints) stay where they are: they
    often weigh more than the model. `include` replaces this choice, `exclude` takes away from either.
    Patterns are those of the hub's own tools: `*` crosses slashes, `onnx/` is all of a folder.

    Raises PermanentStartError for a name that would leave the folder, and where nothing or, by the default
    choice, no weights are left.
    """
    for name in names:
        if not stays_inside(name):
            raise PermanentStartError(
                Reason.MODEL_LOAD_FAILED,
                f"the hub names a file `{name!r}` that lies outside of the model's folder; nothing was "
                "fetched",
            )
    patterns = include or _default(names)
    chosen = [
        name
        for name in names
        if _matches(name, patterns) and (include or "/" not in name) and not _matches(name, exclude)
    ]
    if not chosen:
        raise PermanentStartError(
            Reason.MODEL_NOT_FOUND,
            f"no file of the model is left to fetch (include {list(include)}, exclude {list(exclude)}); "
            f"it has {_some(names)}",
        )
    if not (include or exclude or _matches_any(chosen, (*_SAFETENSORS, *_PICKLES))):
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"the model has neither safetensors nor pytorch_model.bin, only {_some(names)}; "
            "choose a model in the format of transformers",
        )
    return chosen


def _default(names: Sequence[str]) -> tuple[str, ...]:
    top = [name for name in names if "/" not in name]
    return (*_DESCRIPTION, *(_SAFETENSORS if _matches_any(top, _SAFETENSORS) else _PICKLES))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)


def _matches_any(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(_matches(name, patterns) for name in names)


def stays_inside(name: str) -> bool:
    """Whether a name, as a path on this disk, lies inside of the model's folder on every system."""
    return not any(part in {"", ".", ".."} for part in name.split("/")) and not any(
        character in name for character in "\\\0:"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "no files") + more
