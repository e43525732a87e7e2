"""The file of scales beside a model: what `calibration` found of its layers, so that a start need not.

It is bound to the model and to how it was calibrated, and whatever it is not bound to is not read from it: a
model has the same scores with it and without it, on processors of one kind to the last bit.
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from podium.models.base import Encoding
from podium.models.folder import first_line
from podium.models.linear.calibration import Settled
from podium.models.linear.int8 import Reading

logger = logging.getLogger(__name__)

NAME = ".podium-int8"
"""A safetensors file; its name does not end so, as loaders take whatever ends so for weights."""
VERSION = 3
"""Of the way from a text to scales: raise it with whatever changes what is found of a layer."""
_ROWS = 64
"""Rows of each parameter that tell one model's weights from another's. All of them would be read from the
disk for it, where half of a model may be embeddings of words that nobody writes."""


def binding(base: nn.Module, encodings: Sequence[Encoding], *reads: object) -> str:
    """Return a digest of what scales follow from: the weights of a packed model and their names, the pairs
    for calibration as it reads them, and whatever else it `reads` by. Buffers that are no weights were
    computed, and have other last bits on another processor.

    Nothing of the processor: scales from one with weights of 8 bits serve where they have 7, and the other
    way round.
    """
    digest = hashlib.sha256(repr((VERSION, *reads)).encode())
    norms = ((name, buffer) for name, buffer in base.named_buffers() if name.endswith(".weight"))
    for name, parameter in (*base.named_parameters(), *norms):
        rows = parameter.detach()[:: max(1, len(parameter) // _ROWS)] if parameter.dim() else parameter
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(_bytes(rows))
    for encoding in encodings:
        digest.update(f"{encoding.second} {encoding.shared} {len(encoding.ids)}".encode())
        digest.update(encoding.ids.tobytes())
    return digest.hexdigest()


def write(folder: Path, found: Mapping[str, Settled], bound_to: str) -> None:
    """Put the file into a model's folder, whole or not at all; raises OSError where it cannot be written."""
    tensors: dict[str, Tensor] = {}
    for name, (reading, share) in found.items():
        tensors[f"{name}.range"] = torch.tensor([reading.low, reading.high, share], dtype=torch.float64)
        if reading.shift is not None and reading.factor is not None:
            tensors[f"{name}.shift"] = reading.shift.contiguous()
            tensors[f"{name}.factor"] = reading.factor.contiguous()
    whole = save(tensors, {"binding": bound_to, "content": _content(tensors)})
    part = folder / f"{NAME}-{secrets.token_hex(4)}"  # two pods may fill one volume
    try:
        with part.open("wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / NAME)
    finally:
        part.unlink(missing_ok=True)


def read(folder: Path, bound_to: str) -> dict[str, Settled] | None:
    """Return what the file in a folder says of each layer; None where there is none for this binding.

    A file that is bound to something else is told of in the log, and one that is damaged warned of.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no mapping
    except (OSError, SafetensorError, ValueError) as error:
        logger.warning("int8: %s is damaged and left aside: %s", path, first_line(error))
        return None
    if said.get("binding") != bound_to:
        logger.info(
            "int8: %s is left aside: it was written for other weights, settings, or another version", path
        )
        return None
    if said.get("content") != _content(tensors):
        logger.warning("int8: %s is damaged and left aside", path)
        return None
    return {
        name.removesuffix(".range"): _settled(tensors, name.removesuffix(".range"))
        for name in tensors
        if name.endswith(".range")
    }


def _settled(tensors: Mapping[str, Tensor], name: str) -> Settled:
    low, high, share = tensors[f"{name}.range"].tolist()
    return Settled(Reading(low, high, tensors.get(f"{name}.shift"), tensors.get(f"{name}.factor")), share)


def _content(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    """Return a tensor's numbers as they lie in memory."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
