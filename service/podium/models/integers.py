"""A packed model's linear layers in 8-bit integers: by scales that lie beside it, or that are taken now."""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from podium.models import calibration, devices
from podium.models.folder import read, refused
from podium.models.linear import scales
from podium.models.linear.calibration import WORST_SHARE
from podium.models.network.packed import PackedForward
from podium.models.network.tensors import listed
from podium.models.text.pairs import PairTokenizer
from podium.models.text.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)

SCALES = scales.NAME
_BESIDE_BYTES = 1 << 30
"""Memory that a process needs beside the weights: Python, torch, and the text for calibration."""
_NOT_COMPUTED = frozenset(
    {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "id2label", "label2id"}
    | {"auto_map", "use_cache"}
)
"""Of a config: what no state follows from. int8 is computed in one precision."""
_HALVES = ({"BF16"}, {"F16"})


class InIntegers(NamedTuple):
    """What a user ought to know of it."""

    scales_from: str
    notes: tuple[str, ...]


def check_memory(folder: Path) -> None:
    """Raise PermanentStartError where the container's memory does not hold a model as it is calibrated.

    The kernel would end a download whose files are all there, and end the next try as well. Linear layers lie
    in their files, and an embedding of half precision is made float32; so two bytes a number are enough
    there, but for Gemma, whose layers are made float32 too.
    """
    found = read(folder)
    tensors = found.tensors.values()
    half = {tensor.dtype for tensor in tensors if "F" in tensor.dtype} in _HALVES
    width = 2 if half and not str(found.config.get("model_type")).startswith("gemma") else 4
    needed = width * sum(math.prod(tensor.shape) for tensor in tensors) + _BESIDE_BYTES
    limit = devices.memory_limit()
    if limit is not None and needed > limit:
        raise refused(
            f"it needs some {needed / 1e9:.1f} GB of memory, and this container may use {limit / 1e9:.1f} GB"
        )


def serve(
    forward: PackedForward,
    text: PairTokenizer | PromptTokenizer,
    folder: Path,
    *,
    config: Mapping[str, Any],
    keep_scales: bool,
) -> InIntegers:
    """Serve a model's linear layers in integers from now on.

    `config` is what its files and its family say. `keep_scales`: what had to be taken is written into the
    folder; raises PermanentStartError where it cannot be written.
    """
    started = time.monotonic()
    texts = calibration.pairs()
    asked, offered = (text.queries([pair[0] for pair in texts]), text.documents([pair[1] for pair in texts]))
    encodings = [text.pair(query, document) for query, document in zip(asked, offered, strict=True)]
    path = folder / scales.NAME
    said = sorted((name, repr(value)) for name, value in config.items() if name not in _NOT_COMPUTED)
    bound_to = forward.scales_binding(encodings, said)
    known = scales.read(folder, bound_to)
    with torch.inference_mode():
        found = forward.to_integers(encodings, known)
    if not found:
        raise refused(
            "dtype `int8` is for linear layers, of which this model has none that could be served in it; set "
            "PODIUM_DTYPE to float32 or to auto"
        )
    seconds = time.monotonic() - started
    if known is None:
        logger.info(
            "int8: the scales of %d layers were taken from %d pairs in %.1f s%s",
            len(found),
            len(encodings),
            seconds,
            "" if keep_scales else "; `podium fetch --dtype int8` puts them beside the model",
        )
    else:
        logger.info("int8: the scales of %d layers were read from %s in %.1f s", len(found), path, seconds)
    if known is None and keep_scales:
        try:
            scales.write(folder, found, bound_to)
        except OSError as error:
            raise refused(f"`{path}` cannot be written: {error.strerror}") from error
    kept = [name for name, settled in found.items() if not settled.near]
    note = (
        f"{len(kept)} of {len(found)} layers stay in float32, as their output in integers differs by more "
        f"than {WORST_SHARE:.0%}: {listed(kept)}"
    )
    if kept:
        logger.warning("int8: %s", note)
    return InIntegers(
        "scales were taken at this start" if known is None else f"scales are those of {scales.NAME}",
        (note,) if kept else (),
    )
