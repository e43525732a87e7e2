"""One model on a hub: what it holds, and its files, resumed and verified.

`hf_hub_download` (2.4) is not used: it deletes its partial file when it fails, so nothing is left to resume,
and it compares sizes, not digests. Its client, headers, URLs and errors are used, so that the variables
HF_ENDPOINT, HF_TOKEN, HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT mean what they mean everywhere.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from podium.errors import PermanentStartError, Reason, TemporaryStartError
from podium.settings import is_commit
from podium.weights import failures, marker

logger = logging.getLogger(__name__)

# A connection that is cut is taken up again at once where it left off; after so many tries in a row that
# brought nothing, the caller's own back-off is the better judge.
TRIES_WITHOUT_PROGRESS = 3
PAUSE_S = 1.0

DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Listing(msgspec.Struct, frozen=True):
    """What a repository holds at a revision."""

    commit: str
    names: list[str]


class RemoteFile(msgspec.Struct, frozen=True):
    """A file as the hub announces it."""

    name: str
    size: int
    """Bytes."""
    etag: str
    """sha256 (64 hex digits) where the hub keeps the file in LFS, else its git blob id (40)."""


class Hub:
    """A model repository, `org/name`, on the hub at `endpoint`; None takes HF_ENDPOINT and HF_TOKEN.

    Every method raises StartError, classified by `failures`.
    """

    def __init__(self, repository: str, endpoint: str | None = None, token: str | None = None) -> None:
        self.repository = repository
        self.endpoint: str = (endpoint or constants.ENDPOINT).rstrip("/")
        self._token = token

    def listing(self, revision: str | None) -> Listing:
        """Look up what a branch, a tag, a commit, or None for the hub's main branch holds now."""
        with self._classified(revision):
            info = HfApi(self.endpoint, token=self._token).model_info(
                self.repository, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
            # Both become paths on this disk; `select` looks at the names.
            if not is_commit(info.sha):
                raise ValueError("the hub names no commit")
            return Listing(info.sha, [sibling.rfilename for sibling in info.siblings])

    def describe(self, commit: str, names: Sequence[str]) -> list[RemoteFile]:
        """Ask for each file's size and digest; this is where a gated model refuses."""
        files = []
        for name in names:
            with self._classified(commit):
                found = get_hf_file_metadata(
                    self._url(commit, name), headers=self._headers(), timeout=constants.HF_HUB_ETAG_TIMEOUT
                )
            if found.size is None or not DIGEST.fullmatch(found.etag or ""):
                raise TemporaryStartError(
                    Reason.HUB_UNAVAILABLE,
                    f"{failures.shown(self.endpoint)} gives no size or digest of {name}; check HF_ENDPOINT",
                )
            files.append(RemoteFile(name, found.size, found.etag))
        return files

    def download(
        self, commit: str, file: RemoteFile, path: Path, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Bring `path` to the whole of `file`, from the bytes that lie there already.

        `progress` gets the bytes of this file that are on the disk, after each chunk. Raises ChecksumMismatch
        where the content is not what the hub announced; `path` is gone then, so that a retry heals.
        """
        stalled = 0
        while (have := _size(path)) < file.size:
            progress(have)
            try:
                with self._classified(commit):
                    self._append(commit, file, path, have, progress)
                if _size(path) <= have:
                    break  # the hub has no more of it: the digest will tell
            except TemporaryStartError as error:
                stalled = 0 if _size(path) > have else stalled + 1
                cut = error.reason is Reason.HUB_UNAVAILABLE and error.http_status is None
                if not cut or stalled >= TRIES_WITHOUT_PROGRESS:
                    raise
                logger.info("%s; taking %s up at byte %d", error.message, file.name, _size(path))
                time.sleep(stalled * PAUSE_S)
        if not path.exists():
            path.touch()  # an empty file
        if not intact(path, file):
            path.unlink()
            raise PermanentStartError(
                Reason.CHECKSUM_MISMATCH,
                f"{self.repository}/{file.name} is not what the hub announced ({file.size} bytes, digest "
                f"{file.etag[:12]}…); the file was removed: fetch again, and look at the mirror or proxy in "
                "between if it stays so",
            )

    def _append(
        self, commit: str, file: RemoteFile, path: Path, have: int, progress: Callable[[int], None]
    ) -> None:
        headers = self._headers() | {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with get_session().stream(
            "GET",
            self._url(commit, file.name),
            headers=headers,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            follow_redirects=True,
        ) as response:
            if response.status_code == 416:  # nothing lies behind `have`
                return
            hf_raise_for_status(response)
            if response.status_code != 206:  # the whole file, whatever was asked for
                have = 0
            with path.open("r+b" if have else "wb") as out:
                out.seek(have)
                for chunk in response.iter_bytes():
                    out.write(chunk)
                    have += len(chunk)
                    progress(have)
                    if have > file.size:
                        return  # more than was announced

    def _url(self, commit: str, name: str) -> str:
        url: str = hf_hub_url(self.repository, name, revision=commit, endpoint=self.endpoint)
        return url

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = build_hf_headers(token=self._token, library_name="podium")
        return headers

    @contextmanager
    def _classified(self, revision: str | None) -> Iterator[None]:
        try:
            yield
        except HFValidationError as error:
            raise PermanentStartError(
                Reason.MODEL_NOT_FOUND, f"`{self.repository}` can be no model's name: {error}"
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, TypeError, KeyError) as error:
            # ValueError, TypeError, KeyError: an answer that is not the hub's, as a captive portal gives.
            raise failures.classify(
                error, model=self.repository, revision=revision, endpoint=self.endpoint
            ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def intact(path: Path, file: RemoteFile) -> bool:
    """Whether the content of `path` is what the hub announced."""
    if len(file.etag) == 64:
        return marker.sha256(path) == file.etag
    # A file in git is small. Some mirrors give its plain sha1 instead of git's, which begins with the length.
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return file.etag in {
        hashlib.sha1(prefix + content, usedforsecurity=False).hexdigest() for prefix in (header, b"")
    }
