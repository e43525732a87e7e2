"""From settings to a loaded model: what `podium serve`, `rank` and `inspect` do alike before they use it."""

import logging
import time

from podium.models.cross_encoder import CrossEncoder
from podium.models.load import load
from podium.settings import Settings
from podium.weights import marker
from podium.weights.fetch import Downloaded, Fetched, Progress, fetch, verify

log = logging.getLogger(__name__)

PROGRESS_S = 5.0
"""Seconds between two log lines of a download."""


def load_model(settings: Settings) -> CrossEncoder:
    """Fetch and load the model that the settings name."""
    fetched = fetch(
        settings.model,
        settings.revision,
        cache_dir=settings.cache_dir,
        offline=settings.offline,
        progress=_log_progress(settings.model),
    )
    return load_fetched(fetched, settings)


def load_fetched(fetched: Fetched, settings: Settings) -> CrossEncoder:
    """Load the model in a complete folder as the settings say; code that would run is looked at before."""
    if settings.trust_remote_code:
        verify(fetched)
    marked = marker.read(fetched.folder)
    return load(
        fetched.folder,
        uri=settings.model,
        name=marked.uri if marked else None,
        revision=fetched.revision,
        family=settings.family,
        device=settings.device,
        dtype=settings.dtype,
        max_length=settings.max_length,
        instruction=settings.instruction,
        trust_remote_code=settings.trust_remote_code,
        allow_pickle=settings.allow_pickle,
    )


def _log_progress(model: str) -> Progress:
    """Return a callback for `fetch` that logs how far a download is, now and then."""
    last = time.monotonic()

    def log_progress(far: Downloaded) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_S:
            last = time.monotonic()
            log.info("fetching %s: %.0f of %.0f MB", model, far.bytes / 1e6, far.wanted_bytes / 1e6)

    return log_progress
