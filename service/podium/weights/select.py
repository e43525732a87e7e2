"""Which files of a repository are fetched: pure."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from podium.errors import PermanentStartError, Reason

_DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken", "*.md", "LICENSE*", "NOTICE*")
_WEIGHTS = (
    "model.safetensors", "model-*-of-*.safetensors", "*.safetensors",
    "pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model*.bin",
)  # fmt: skip
"""What a folder's weights are called, the first of these that it has: others beside are older or of another
library, and would be fetched to lie there (`consolidated.safetensors`)."""
_MODULE = re.compile(r"\d+_[A-Za-z]\w*")
"""Folder of one module of the modular layout, as Sentence Transformers names it: `1_Pooling`, `2_Dense`."""
_TEMPLATES = "additional_chat_templates"


def select(names: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """Return the files to fetch, in the repository's order.

    Without `include` these are the files that describe the model (config, tokenizer, code, licence) and its
    safetensors, or its pickled weights where there are no safetensors: at the top, in the folders of modules
    (`1_Pooling`, `2_Dense`), and of further chat templates. Weights of other frameworks and everything in
    other folders (`onnx/`, `openvino/`, old checkpoints) stay where they are: they often weigh more than the
    model. `include` replaces this choice, `exclude` takes away from either. Patterns are those of the hub's
    own tools: `*` crosses slashes, `onnx/` is all of a folder.

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
    wanted = [name for name in names if _matches(name, include)] if include else _default(names)
    chosen = [name for name in wanted if not _matches(name, exclude)]
    if not chosen:
        raise PermanentStartError(
            Reason.MODEL_NOT_FOUND,
            f"no file of the model is left to fetch (include {list(include)}, exclude {list(exclude)}); "
            f"it has {_some(names)}",
        )
    if not (include or exclude or _matches_any(chosen, _WEIGHTS)):
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"the model has neither safetensors nor pytorch_model.bin, only {_some(names)}; "
            "choose a model in the format of transformers",
        )
    return chosen


def _default(names: Sequence[str]) -> list[str]:
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    weights = {
        folder: next((pattern for pattern in _WEIGHTS if _matches_any(files, [pattern])), "")
        for folder, files in folders.items()
        if not folder or folder == _TEMPLATES or _MODULE.fullmatch(folder)
    }
    split = ((name, *name.rpartition("/")[::2]) for name in names)
    return [
        name
        for name, folder, file in split
        if folder in weights and _matches(file, (*_DESCRIPTION, weights[folder]))
    ]


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
