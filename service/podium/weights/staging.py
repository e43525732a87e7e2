"""The folder in which a model is put together, and the step that makes it the model's own."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from huggingface_hub.utils import WeakFileLock

from podium.errors import PermanentStartError, Reason, TemporaryStartError
from podium.weights import marker
from podium.weights.marker import Asked, Marker


def name_of(pinned: Asked) -> str:
    """Return the name of a complete folder: the commit, and a digest of the patterns where there are any."""
    if not (pinned.include or pinned.exclude):
        return str(pinned.revision)
    return f"{pinned.revision}-{_digest(pinned.include, pinned.exclude)}"


def refuse_foreign(target: Path, uri: str) -> None:
    """Raise PermanentStartError where `target` holds anything but an earlier, damaged copy of `uri`."""
    found = marker.read(target)
    if found is not None and (found.uri != uri or found.size(target) is not None):
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"{target} holds {found.uri} at {found.revision}, fetched with "
            f"{msgspec.json.encode(found.asked).decode()}; name another folder, or remove this one",
        )
    if found is None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"{target} is not empty and has no {marker.NAME}: name a folder that is new or empty",
        )


@contextmanager
def locked(target: Path, uri: str, asked: Asked) -> Iterator[Path]:
    """Yield the staging folder beside `target`, held by this process alone."""
    folder = target.parent / f".podium-{_digest(target.name, uri, asked)}"
    lock = folder.with_suffix(".lock")
    # First, because it fails where nothing can be written; the lock would try for ever.
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        folder.mkdir(exist_ok=True)  # whoever held the lock may have given it its name
        yield folder
        # Whoever waited, or waits, for the lock finds a complete model: the file may go, and an empty folder.
        lock.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def check_space(folder: Path, total: int, max_bytes: int | None) -> None:
    """Raise TemporaryStartError (NoSpace) where a model of `total` bytes does not fit, before any comes."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if max_bytes is not None and total > max_bytes:
        limit = f"the limit is {max_bytes}; raise it"
    elif total - there > free:
        limit = (
            f"{there} are there and {free} are free on {folder.parent}; free space, or take a larger volume"
        )
    else:
        return
    raise TemporaryStartError(Reason.NO_SPACE, f"the model has {total} bytes, {limit}", bytes=total)


def finish(folder: Path, target: Path, marked: Marker) -> None:
    """Drop what does not belong to the model, write the marker, and give the folder its name."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in marked.files:
            path.unlink()
    marker.write(folder, marked)
    _remove_damaged(target)
    folder.rename(target)
    marker.sync(target.parent)


def _remove_damaged(target: Path) -> None:
    # `refuse_foreign` let this folder pass: it is empty, or ours with files missing. Only what its marker
    # lists is removed; if a user put more into it, the rename fails and says so.
    found = marker.read(target)
    for name in (marker.NAME, *found.files) if found else ():
        if marker.within((target / name).parent, target):
            (target / name).unlink(missing_ok=True)
    for path in target.glob(f"{marker.OWN}*"):  # written beside the model that goes
        if path.is_symlink() or not path.is_dir():
            path.unlink()
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()


def _digest(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:10]
