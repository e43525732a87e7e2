"""What every handler is handed: the settings, and how far the service is."""

import asyncio
import enum
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from podium.errors import Unauthorized, Unavailable
from podium.models.base import ModelInfo
from podium.reranker import Reranker
from podium.server.body import Budget
from podium.settings import SettingError, Settings
from podium.telemetry.metrics import Metrics

T = TypeVar("T")

START_RETRY_S = 5
"""What callers are told to wait while a model loads; nobody knows how long it takes."""


class Phase(enum.StrEnum):
    """How far the service is; probes show the word."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass
class Service:
    """The service behind the routes. Changed on the event loop only."""

    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    reranker: Reranker | None = None
    phase: Phase = Phase.LOADING
    keys: Mapping[bytes, str | None] = field(init=False)
    """Accepted keys, each with its name where it has one."""
    in_flight: Budget = field(init=False)
    _decoding: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.keys = read_keys(self.settings)
        self.in_flight = Budget(self.settings.max_in_flight_bytes)
        self._decoding = ThreadPoolExecutor(1, "podium-decoding")

    def decode(self, reading: Callable[[], T]) -> Awaitable[T]:
        """Read a large body in the one thread that does, after those that came before it."""
        return asyncio.get_running_loop().run_in_executor(self._decoding, reading)

    def close(self) -> None:
        """Stop the threads after what they are doing."""
        self._decoding.shutdown(wait=False, cancel_futures=True)
        if self.reranker is not None:
            self.reranker.close()

    def become_ready(self) -> bool:
        """Leave LOADING; False where a signal was faster."""
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY
        return self.phase is Phase.READY

    def ready_reranker(self) -> Reranker:
        """Return the reranker once it may be used; raises Unavailable before and after."""
        if self.reranker is None or self.phase is not Phase.READY:
            text = "the server is shutting down" if self.phase is Phase.DRAINING else "the model is loading"
            retry_after_s = 1 if self.phase is Phase.DRAINING else START_RETRY_S
            raise Unavailable(f"{text}; send the request again, to another replica or later", retry_after_s)
        return self.reranker

    @property
    def unready(self) -> str | None:
        """Why requests would not be answered, None where they are."""
        if self.phase is not Phase.READY or self.reranker is None:
            return self.phase.value
        return self.reranker.stuck

    def batch_tokens(self, model: ModelInfo) -> int:
        """Return the tokens of a batch at most: the setting, else what the model's device has room for."""
        return self.settings.max_batch_tokens or model.max_batch_tokens

    @property
    def served_name(self) -> str:
        """The model's name in answers."""
        return self.settings.served_model_name or self.settings.model

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, None while it loads."""
        return None if self.reranker is None else self.reranker.model.info

    @property
    def threads(self) -> int | None:
        """Threads of the model on a CPU now, None while it loads."""
        return None if self.reranker is None else self.reranker.model.threads

    def check_key(self, *sent: str) -> str | None:
        """Return the name of the configured key that was sent, None where it has none or none is configured.

        Raises Unauthorized unless one was sent. `sent`: values of headers, with or without `Bearer`; a proxy
        may use one of them for itself. Every key is compared, in constant time.
        """
        if not self.keys:
            return None
        candidates = [_bare(value) for value in sent]
        found = [key for key in self.keys for one in candidates if hmac.compare_digest(one, key)]
        if not found:
            raise Unauthorized
        return self.keys[found[0]]


def _bare(sent: str) -> bytes:
    scheme, _, rest = sent.partition(" ")
    return (rest if scheme.lower() == "bearer" else sent).strip().encode("latin-1")


def read_keys(settings: Settings) -> dict[bytes, str | None]:
    """Return the accepted API keys, each with its name where `# NAME` stands behind it; what begins with `#`
    is a comment.

    Raises SettingError for a file that cannot be read or holds none.
    """
    entries = (settings.api_keys or "").split(",")
    if settings.api_keys_file:
        try:
            entries += Path(settings.api_keys_file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"PODIUM_API_KEYS_FILE: {settings.api_keys_file}: {error}") from None
    found = {key.encode(): name for key, name in map(_named, entries) if key}
    if not found and (settings.api_keys or settings.api_keys_file):
        # Nobody who configures keys wants an open server.
        raise SettingError("PODIUM_API_KEYS and PODIUM_API_KEYS_FILE hold no key; remove them or add one")
    return found


def _named(entry: str) -> tuple[str, str | None]:
    if entry.lstrip().startswith("#"):
        return "", None
    key, *name = re.split(r"\s+#\s*", entry.strip(), maxsplit=1)
    return key, name[0] if name and name[0] else None
