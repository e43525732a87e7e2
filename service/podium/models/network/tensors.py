"""The tensors of a folder by name, none of them in memory before it is asked for."""

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from podium.models.folder import first_line, refused

_DAMAGED = (SafetensorError, OSError, RuntimeError, ValueError, EOFError, pickle.PickleError)

_HALVES = {"BF16": torch.bfloat16, "F16": torch.float16}
"""What safetensors calls them."""


NAMES = ("model.safetensors", "pytorch_model.bin")
"""What transformers calls the file of a whole model."""


class Stored(Protocol):
    """A tensor in a file: `stored[...]` reads it whole, `stored[3:5]` some of its rows."""

    def __getitem__(self, part: Any, /) -> Tensor: ...


class Part:
    """Rows `start` to `end` of a stored tensor, still in its file."""

    def __init__(self, stored: Stored, start: int, end: int) -> None:
        self._stored, self._start, self._end = stored, start, end

    def __getitem__(self, part: Any, /) -> Tensor:
        return self._stored[self._start : self._end][part]


class Tensors(Mapping[str, Stored]):
    """All tensors of the weights that lie in a folder: safetensors, else pickles where they are allowed.

    Raises PermanentStartError where files are missing, cut, or no such files.
    """

    def __init__(self, folder: Path, *, allow_pickle: bool) -> None:
        self.folder = folder
        self._allow_pickle = allow_pickle
        self._stored: dict[str, Stored] = {}
        for file in _files(folder, allow_pickle=allow_pickle):
            try:
                self._stored |= _safe(file) if file.suffix == ".safetensors" else _pickled(file)
            except (
                SafetensorError,
                OSError,
                RuntimeError,
                ValueError,
                EOFError,
                pickle.PickleError,
            ) as error:
                raise refused(
                    f"the weights in `{folder}` cannot be loaded: `{file.name}` is damaged or cut "
                    f"({first_line(error)}); fetch it again"
                ) from error

    def __getitem__(self, name: str) -> Stored:
        return self._stored[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def below(self, subfolder: str) -> "Tensors":
        """Return the tensors of a folder in this one."""
        return Tensors(self.folder / subfolder, allow_pickle=self._allow_pickle)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, from its file's header."""
        stored: Any = self._stored[name]
        return tuple(stored.shape if isinstance(stored, Tensor) else stored.get_shape())

    def half(self) -> torch.dtype | None:
        """Return the half precision of all floating-point tensors; None where they do not share one."""
        found = {_dtype(stored) for stored in self._stored.values()} - {None}
        [one] = found if len(found) == 1 else [None]
        return one if one in _HALVES.values() else None


def _dtype(stored: Any) -> torch.dtype | None:
    """Return which half precision a tensor has, float32 for another float, None for no float."""
    if isinstance(stored, Tensor):
        return stored.dtype if stored.is_floating_point() else None
    kind = stored.get_dtype()
    return _HALVES.get(kind, torch.float32 if kind.startswith("F") else None)


def _files(folder: Path, *, allow_pickle: bool) -> list[Path]:
    """Return the files with weights: those that an index names, one of the usual name, or the only one.

    Which of several is the model nobody says, and a tensor may be in all of them.
    """
    for suffix, stem in (("safetensors", "model"), ("bin", "pytorch_model")):
        index = folder / f"{stem}.{suffix}.index.json"
        if index.exists() and not (folder / f"{stem}.{suffix}").exists():
            files = [folder / name for name in _indexed(index)]
        else:
            whole = folder / f"{stem}.{suffix}"
            files = [whole] if whole.exists() else sorted(folder.glob(f"*.{suffix}"))
            beside = [] if whole.exists() else sorted(folder.glob("pytorch_model*.bin"))
            if len(found := {*files, *beside}) > 1 and files:
                raise refused(
                    f"`{folder}` holds {listed(sorted(file.name for file in found))}, and nothing says which "
                    f"is the model; name its file {' or '.join(NAMES)}, or take the others away"
                )
        if not files:
            continue
        if suffix == "bin" and not allow_pickle:
            raise refused(
                f"`{folder}` holds pickled weights only, and a pickle can run code; convert them to "
                "safetensors, or set PODIUM_ALLOW_PICKLE=true if you trust their origin"
            )
        if missing := [file.name for file in files if not file.exists()]:
            raise refused(
                f"`{folder}` lacks {len(missing)} of the {len(files)} files that `{index.name}` names: "
                f"{listed(missing)}; fetch the model again"
            )
        return files
    raise refused(f"`{folder}` holds no weights: neither *.safetensors nor *.bin")


def _indexed(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise refused(f"`{index}` cannot be read ({first_line(error)}); fetch the model again") from error


def _safe(file: Path) -> dict[str, Stored]:
    opened: Any = safe_open(file, framework="pt", device="cpu")  # stays open as long as its slices
    return {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 it is no mapping


def _pickled(file: Path) -> dict[str, Stored]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # written before torch 1.6: it cannot be mapped
        found = torch.load(file, map_location="cpu", weights_only=True)
    return cast(dict[str, Stored], {name: x for name, x in found.items() if isinstance(x, Tensor)})


def listed(names: list[str]) -> str:
    """Return the first names for a message."""
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
