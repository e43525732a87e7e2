"""The usual way, for comparison: Sentence Transformers' CrossEncoder, float32, its defaults."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from podium.bench.results import Way
from podium.bench.texts import Pair


def installed() -> bool:
    """Whether Sentence Transformers, a development dependency, is there."""
    return importlib.util.find_spec("sentence_transformers") is not None


def measure(name: str, folder: Path, pairs: Sequence[Pair]) -> Way | None:
    """Return how fast it scores pairs; None where the package is missing."""
    if not installed():
        return None
    from sentence_transformers import CrossEncoder

    # a checkpoint stored in half precision would be loaded so, and be slow
    encoder = CrossEncoder(str(folder), model_kwargs={"dtype": "float32"}, max_length=512)
    encoder.predict(list(pairs[:4]), show_progress_bar=False)
    start = perf_counter()
    encoder.predict(list(pairs), show_progress_bar=False)
    return Way(
        model=name,
        way="Sentence Transformers float32",
        pairs_per_s=len(pairs) / (perf_counter() - start),
    )
