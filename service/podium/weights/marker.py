"""`.podium-complete`: the file that is written last, and says that a model's folder is whole."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from podium.settings import is_commit
from podium.weights.select import stays_inside

OWN = ".podium-"
"""How the names of files begin that Podium puts into a model's folder beside the hub's."""
NAME = f"{OWN}complete"


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
    sizes: dict[str, int] = {}
    """Path inside the folder to bytes; older markers have none."""

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
        """Return the bytes of all files, or None where one of them is missing or leads out of the folder."""
        paths = [folder / name for name in self.files]
        if not all(path.is_file() and within(path, folder) for path in paths):
            return None
        return sum(path.stat().st_size for path in paths)

    def altered(self, folder: Path) -> str | None:
        """Return the name of a file that is not what the marker says, None where there is none.

        Code is always compared by digest, and other files where they are newer than the marker: the time of
        one is cheap to look at, and gigabytes of weights are not. Code that the marker lacks counts, too.
        """
        written = (folder / NAME).stat().st_mtime
        for path in folder.rglob("*.py"):
            if path.relative_to(folder).as_posix() not in self.files:
                return path.relative_to(folder).as_posix()
        for name, digest in self.files.items():
            path = folder / name
            suspect = name.endswith(".py") or path.stat().st_mtime > written or not self._has_size(name, path)
            if suspect and sha256(path) != digest:
                return name
        return None

    def _has_size(self, name: str, path: Path) -> bool:
        return name in self.sizes and path.stat().st_size == self.sizes[name]


def read(folder: Path) -> Marker | None:
    """Return a folder's marker; None where there is none, or where it is not readable as one.

    One that names files outside of its folder is none: what it names may be deleted.
    """
    try:
        found = msgspec.json.decode((folder / NAME).read_bytes(), type=Marker)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if all(map(stays_inside, found.files)) else None


def within(path: Path, folder: Path) -> bool:
    """Whether a path still lies in a folder once symbolic links are followed."""
    return path.resolve().is_relative_to(folder.resolve())


def folders(parent: Path) -> Iterator[tuple[Path, Marker]]:
    """Yield the complete folders directly below `parent`, the newest marker first, links left aside."""
    for path in sorted(parent.glob(f"*/{NAME}"), key=lambda path: path.stat().st_mtime, reverse=True):
        hidden = path.parent.name.startswith(".") or path.parent.is_symlink()
        if not hidden and (found := read(path.parent)):
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
