"""`.podium-complete`: the file that is written last, and says that a model's folder is whole."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from podium.settings import is_commit

NAME = ".podium-complete"


class Asked(msgspec.Struct, frozen=True):
    """What the caller asked for, beside the URI; a folder serves for the same request again."""

    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a folder."""

    uri: str
    revision: str | None
    """The commit that a branch or tag stood for; None for what comes from no hub."""
    files: dict[str, str]
    """Path inside the folder to sha256, 64 hex digits."""
    asked: Asked = Asked()

    def serves(self, uri: str, asked: Asked) -> bool:
        """Whether this folder is what another request would fetch.

        A branch is looked up once: what was fetched for `main` stays, until its folder is removed. No
        revision takes what is there.
        """
        if self.uri != uri or (self.asked.include, self.asked.exclude) != (asked.include, asked.exclude):
            return False
        if is_commit(asked.revision):
            return self.revision == asked.revision
        return asked.revision is None or self.asked.revision == asked.revision

    def size(self, folder: Path) -> int | None:
        """Return the bytes of all files, or None where one of them is missing."""
        try:
            return sum((folder / name).stat().st_size for name in self.files)
        except FileNotFoundError:
            return None


def read(folder: Path) -> Marker | None:
    """Return a folder's marker; None where there is none, or where it is not readable as one."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Marker)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def folders(parent: Path) -> Iterator[tuple[Path, Marker]]:
    """Yield the complete folders directly below `parent`, the newest marker first."""
    for path in sorted(parent.glob(f"*/{NAME}"), key=lambda path: path.stat().st_mtime, reverse=True):
        if not path.parent.name.startswith(".") and (found := read(path.parent)):
            yield path.parent, found


def write(folder: Path, marker: Marker) -> None:
    """Write the marker so that it is on the disk, after everything that it speaks of, when this returns."""
    for name in marker.files:
        sync(folder / name)
    path = folder / NAME
    path.write_bytes(msgspec.json.format(msgspec.json.encode(marker), indent=1) + b"\n")
    sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
