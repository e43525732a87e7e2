"""What a model URI means: a folder that is there, or a repository on a hub."""

import os
import re
from pathlib import Path

import msgspec

from podium.errors import PermanentStartError, Reason

BUILTIN = Path(__file__).parent.parent / "builtin"
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


class Source(msgspec.Struct, frozen=True):
    """Where a model comes from: exactly one of `folder` and `repository` is set."""

    uri: str
    """One spelling per source: `builtin`, `hf://org/name`, or the folder as it was given."""
    folder: Path | None = None
    repository: str | None = None
    """`org/name`"""


def parse(uri: str) -> Source:
    """Read `builtin`, a folder, `hf://org/name` or `org/name`; a folder that exists wins over a hub's name.

    Raises PermanentStartError (ModelNotFound) for anything else, and for a path where no folder is.
    """
    if uri == "builtin":
        return Source(uri, folder=BUILTIN)
    if uri.startswith("hf://"):
        repository = uri.removeprefix("hf://")
    else:
        folder = Path(
            os.path.expanduser(uri.removeprefix("file://"))
        )  # raises nothing where there is no home
        if uri and folder.is_dir():
            return Source(uri, folder=folder)
        if uri.startswith(("/", ".", "~", "file://")):
            raise PermanentStartError(
                Reason.MODEL_NOT_FOUND, f"there is no folder {folder}; mount it, or name another model"
            )
        repository = uri
    if not _REPOSITORY.fullmatch(repository):
        raise PermanentStartError(
            Reason.MODEL_NOT_FOUND,
            f"`{uri}` is no model: give `builtin`, a folder, or a hub's `org/name` (or `hf://org/name`) with "
            "its revision apart",
        )
    return Source(f"hf://{repository}", repository=repository)
