"""The cache that the hub's own tools keep: read where a model is whole in it, never written.

`<HF_HUB_CACHE>/models--org--name` holds `refs/<branch>`, a commit; `snapshots/<commit>/<file>`, links; and
`blobs/<etag>`, what they lead to.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from huggingface_hub import constants

from podium.settings import is_commit
from podium.weights.hub import DIGEST, RemoteFile, intact
from podium.weights.marker import sha256, within

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def find(repository: str, revision: str | None) -> tuple[Path, str] | None:
    """Return folder and commit of a model that is whole in the cache, by default of its main branch."""
    home = _home(repository)
    commit = revision if is_commit(revision) else _commit(home, revision or "main")
    if commit is None:
        return None
    folder = home / "snapshots" / commit
    return (folder, commit) if _is_whole(folder, home) else None


def file(repository: str, commit: str, name: str) -> Path | None:
    """Return one file of a commit where the cache has it."""
    home = _home(repository)
    path = home / "snapshots" / commit / name
    return path if path.is_file() and within(path, home) else None


def describe(folder: Path, names: Sequence[str]) -> list[RemoteFile]:
    """Return files of a snapshot as the hub would announce them; a blob's name is its digest."""
    files = []
    for name in names:
        path = folder / name
        etag = path.resolve().name
        size = path.stat().st_size
        files.append(RemoteFile(name, size, etag if DIGEST.fullmatch(etag) else sha256(path)))
    return files


def _home(repository: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def _commit(home: Path, branch: str) -> str | None:
    path = home / "refs" / branch
    if not within(path, home) or not path.is_file():
        return None
    commit = path.read_text("utf-8", "replace").strip()
    return commit if is_commit(commit) else None


def _is_whole(folder: Path, home: Path) -> bool:
    """Whether a snapshot has what describes a model, a tokenizer, and all of its weights.

    The hub's tools link each file once it is whole, and fetch whatever a program asks for: a snapshot may
    hold anything. Code must be what the hub gave; its blob's name is its digest.
    """
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    if not all(path.is_file() and within(path, home) for path in paths):
        return False
    if not all(_is_intact(path) for path in paths if path.suffix == ".py"):
        return False
    return (
        (folder / "config.json").is_file()
        and any(any(folder.glob(pattern)) for pattern in _TOKENIZERS)
        and any(all((folder / name).is_file() for name in names) for names in _weights(folder))
    )


def _is_intact(path: Path) -> bool:
    return intact(path, RemoteFile(path.name, path.stat().st_size, path.resolve().name))


def _weights(folder: Path) -> Iterator[list[str]]:
    """Yield the files of each form in which a model's weights may lie there."""
    for name in _INDEXES:
        if (folder / name).is_file():
            try:
                parts = msgspec.json.decode((folder / name).read_bytes(), type=_Index).weight_map
            except msgspec.DecodeError:
                continue
            yield sorted(set(parts.values())) or [name]
    yield ["model.safetensors"]
    yield ["pytorch_model.bin"]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]
