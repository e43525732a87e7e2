"""What every handler is handed: the settings, and how far the service is."""

import asyncio
import enum
import hmac
from collections.abc import Awaitable, Callable
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
    keys: tuple[bytes, ...] = field(init=False)
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

    def check_key(self, *sent: str) -> None:
        """Raise Unauthorized unless a configured key was sent, or none is configured.

        `sent`: values of headers, with or without `Bearer`; a proxy may use one of them for itself. Every
        key is compared, in constant time.
        """
        if not self.keys:
            return
        candidates = [_bare(value) for value in sent]
        if sum([hmac.compare_digest(one, key) for one in candidates for key in self.keys]) == 0:
            raise Unauthorized


def _bare(sent: str) -> bytes:
    scheme, _, rest = sent.partition(" ")
    return (rest if scheme.lower() == "bearer" else sent).strip().encode("latin-1")


def read_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the accepted API keys; raises SettingError for a file that cannot be read or holds none."""
    keys = [key.strip() for key in (settings.api_keys or "").split(",")]
    if settings.api_keys_file:
        try:
            lines = Path(settings.api_keys_file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"PODIUM_API_KEYS_FILE: {settings.api_keys_file}: {error}") from None
        keys += [line.strip() for line in lines]
    found = tuple(key.encode() for key in keys if key)
    if not found and (settings.api_keys or settings.api_keys_file):
        # Nobody who configures keys wants an open server.
        raise SettingError("PODIUM_API_KEYS and PODIUM_API_KEYS_FILE hold no key; remove them or add one")
    return found
