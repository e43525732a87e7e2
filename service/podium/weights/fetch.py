"""`fetch`: a model's URI in, a complete folder out.

A hub's model lies in `<cache_dir>/<org>--<name>/<commit>`, or where the caller says. It is put together in a
staging folder beside that, named by what was asked for, so that a later try goes on where this one ended;
the marker is the last file written, and the folder gets its name when everything is in it.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from huggingface_hub import constants

from podium.errors import PermanentStartError, Reason
from podium.settings import DEFAULT_CACHE, is_commit
from podium.weights import failures, hub_cache, marker, staging
from podium.weights.hub import Hub, RemoteFile, intact
from podium.weights.marker import Asked, Marker
from podium.weights.select import select
from podium.weights.source import Source, parse

log = logging.getLogger(__name__)

_NO_HOME = Path("/nonexistent/podium")
"""Where nothing is and nothing can be made."""


class Downloaded(NamedTuple):
    """How far a download is: what is on the disk, and what the whole model has."""

    bytes: int
    wanted_bytes: int
    files: int
    """Those that are whole."""
    wanted_files: int


Progress = Callable[[Downloaded], None]
"""Called after each chunk and each file."""


class Fetched(msgspec.Struct, frozen=True):
    """A folder that is whole."""

    folder: Path
    revision: str | None
    """The commit on the hub; None for a folder that came from none."""
    bytes: int
    """Of the model's files."""


def fetch(
    uri: str,
    revision: str | None = None,
    *,
    to: Path | None = None,
    cache_dir: Path | str = DEFAULT_CACHE,
    offline: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_bytes: int | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress = lambda far: None,
) -> Fetched:
    """Return the folder that holds a model, downloading what is missing.

    `uri` is `builtin`, a folder, `hf://org/name` or `org/name`; folders are returned where they lie. A hub's
    model that was fetched before needs no network, and `offline` opens no socket at all. `to` is the folder
    to fill instead of one in `cache_dir`. `max_bytes` bounds the whole model. `endpoint` and `token` default
    to HF_ENDPOINT and HF_TOKEN.

    Raises PermanentStartError or TemporaryStartError; `docs/configuration.md` lists the reasons.
    """
    source = parse(uri)
    asked = Asked(revision, tuple(include), tuple(exclude))
    try:
        to = to and expanded(to)
        if source.repository is None:
            return _in_place(source, to)
        home = expanded(cache_dir) / source.repository.replace("/", "--")
        if found := _find(source, asked, to, home):
            return found
        whole = hub_cache.find(source.repository, revision)
        if whole and to is None and not (include or exclude):
            return Fetched(*whole, sum(path.stat().st_size for path in whole[0].iterdir() if path.is_file()))
        if offline or constants.is_offline_mode():
            if whole is None or to is None:
                raise _missing(source, asked, to, home)
            return _copy(source, *whole, asked, to, max_bytes, progress)
        home = _writable(home, cache_dir, source.repository) if to is None else home
        if found := _find(source, asked, to, home):
            return found
        return _download(
            source, Hub(source.repository, endpoint, token), asked, to, home, max_bytes, progress
        )
    except OSError as error:
        raise failures.on_disk(error) from error


def expanded(folder: Path | str) -> Path:
    """Return a folder with `~` read as the home folder; raises PermanentStartError where there is none."""
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError:
        if str(folder) == DEFAULT_CACHE:
            return _NO_HOME
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"`{folder}` cannot be found: this user has no home folder; give an absolute path, or set HOME",
        ) from None


def _writable(home: Path, cache_dir: Path | str, repository: str) -> Path:
    """Return where models of a repository may be kept, by default a temporary folder if there is no other."""
    there = next(path for path in home.parents if path.exists())
    if str(cache_dir) != DEFAULT_CACHE or (home.parent != _NO_HOME and os.access(there, os.W_OK)):
        return home
    folder = Path(tempfile.gettempdir()) / f"podium-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # others may write there, too
        folder = Path(tempfile.mkdtemp(prefix="podium-"))
    log.warning(
        "%s cannot be written; models are kept in %s until the machine forgets it: set PODIUM_CACHE_DIR",
        DEFAULT_CACHE,
        folder,
    )
    return folder / repository.replace("/", "--")


def verify(fetched: Fetched) -> None:
    """Raise PermanentStartError where a folder's code is not what was fetched, or its weights changed since.

    To be called before code of the folder runs. A folder without a marker came from no hub: it is the user's.
    """
    marked = marker.read(fetched.folder)
    if marked is not None and (name := marked.altered(fetched.folder)) is not None:
        raise PermanentStartError(
            Reason.CHECKSUM_MISMATCH,
            f"{fetched.folder / name} is not what was fetched, and its code would run; remove the folder and "
            "fetch the model again",
        )


def _in_place(source: Source, to: Path | None) -> Fetched:
    assert source.folder is not None
    if to is not None and to != source.folder.absolute():
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"`{source.uri}` lies in {source.folder} already; use it there, or copy the folder to {to}",
        )
    found = marker.read(source.folder)
    size = sum(path.stat().st_size for path in source.folder.rglob("*") if path.is_file())
    return Fetched(source.folder, found.revision if found else None, size)


def _find(source: Source, asked: Asked, to: Path | None, home: Path) -> Fetched | None:
    candidates = marker.folders(home) if to is None else ((to, found) for found in [marker.read(to)] if found)
    for folder, found in candidates:
        if found.serves(source.uri, asked) and (size := found.size(folder)) is not None:
            return Fetched(folder, found.revision, size)
    return None


def _missing(source: Source, asked: Asked, to: Path | None, home: Path) -> PermanentStartError:
    commit = asked.revision if asked.revision and is_commit(asked.revision) else "<commit>"
    expected = to or home / commit
    revision = f" --revision {asked.revision}" if asked.revision else ""
    return PermanentStartError(
        Reason.MODEL_NOT_FOUND,
        f"offline, and {source.uri} is not complete in {expected}; run `podium fetch "
        f"{source.repository}{revision}` where there is a network and bring the folder here, or unset "
        "PODIUM_OFFLINE",
    )


def _download(
    source: Source,
    hub: Hub,
    asked: Asked,
    to: Path | None,
    home: Path,
    max_bytes: int | None,
    progress: Progress,
) -> Fetched:
    listing = hub.listing(asked.revision)
    pinned = Asked(listing.commit, asked.include, asked.exclude)
    if found := _find(source, pinned, to, home):
        return found
    names = select(listing.names, asked.include, asked.exclude)
    target = to or home / staging.name_of(pinned)
    staging.refuse_foreign(target, source.uri)
    files = hub.describe(listing.commit, names)
    return _assemble(source, hub, listing.commit, files, asked, target, max_bytes, progress)


def _copy(
    source: Source,
    whole: Path,
    commit: str,
    asked: Asked,
    to: Path,
    max_bytes: int | None,
    progress: Progress,
) -> Fetched:
    """Copy a model from the hub's usual cache, with no network."""
    assert source.repository is not None
    there = [path.relative_to(whole).as_posix() for path in sorted(whole.rglob("*")) if path.is_file()]
    files = hub_cache.describe(whole, select(there, asked.include, asked.exclude))
    staging.refuse_foreign(to, source.uri)
    return _assemble(source, None, commit, files, asked, to, max_bytes, progress)


def _assemble(
    source: Source,
    hub: Hub | None,
    commit: str,
    files: Sequence[RemoteFile],
    asked: Asked,
    target: Path,
    max_bytes: int | None,
    progress: Progress,
) -> Fetched:
    """Put a folder together and give it its name; what the hub's usual cache has is copied from there."""
    total = sum(file.size for file in files)
    pinned = Asked(commit, asked.include, asked.exclude)
    with staging.locked(target, source.uri, asked) as folder:
        found = marker.read(target)
        if found and found.serves(source.uri, pinned) and found.size(target) is not None:
            return Fetched(target, commit, total)  # another process was quicker
        staging.check_space(folder, total, max_bytes)
        digests = _fill(source, hub, commit, files, folder, progress)
        sizes = {file.name: file.size for file in files}
        marked = Marker(uri=source.uri, revision=commit, files=digests, asked=asked, sizes=sizes)
        staging.finish(folder, target, marked)
    return Fetched(target, commit, total)


def _fill(
    source: Source,
    hub: Hub | None,
    commit: str,
    files: Sequence[RemoteFile],
    folder: Path,
    progress: Progress,
) -> dict[str, str]:
    """Copy or download what is missing in `folder`; return each file's sha256."""
    assert source.repository is not None
    done, total = 0, sum(file.size for file in files)
    for whole, file in enumerate(files):

        def report(on_disk: int, before: int = done, whole: int = whole) -> None:
            progress(Downloaded(before + on_disk, total, whole, len(files)))

        path = folder / file.name
        # The digest is in the name: the rest of another revision's file is never appended to this one.
        part = path.with_name(f"{path.name}.{file.etag[:16]}.part")
        for link in (path, part, *path.parents[: file.name.count("/")]):
            if link.is_symlink():  # nobody of us made it, and what it leads to is not ours to write
                link.unlink()
        if not (path.exists() and intact(path, file)):
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = hub_cache.file(source.repository, commit, file.name)
            if kept and not part.exists() and intact(kept, file):
                shutil.copyfile(kept, part)
            elif hub is not None:
                hub.download(commit, file, part, report)
            else:
                raise PermanentStartError(
                    Reason.CHECKSUM_MISMATCH,
                    f"offline, and {kept or file.name} in the hub's cache is not what its name says; remove "
                    "it there and fetch it again where there is a network",
                )
            part.replace(path)
        done += file.size
        progress(Downloaded(done, total, whole + 1, len(files)))
    return {file.name: _sha256(folder / file.name, file) for file in files}


def _sha256(path: Path, file: RemoteFile) -> str:
    return file.etag if len(file.etag) == 64 else marker.sha256(path)
