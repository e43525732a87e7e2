"""Padded forward for every architecture that cannot be packed: what transformers makes of it, unchanged."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from podium.models import architectures
from podium.models.base import Encoding

MAX_PADDED_TOKENS = 4096
"""Tokens of one padded product, padding included; one longer pair goes alone."""


class PaddedForward:
    """The padded forward of one model, on one device; call it from one thread."""

    name = "padded"

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype) -> None:
        """Take over `model`, with float32 weights."""
        self._model = model.eval().requires_grad_(False).to(device)
        self._device = device
        self._padding = model.config.pad_token_id or 0
        self._segments = architectures.has_segments(model.config)
        if dtype != torch.float32:
            _keep_head_in_float32(model, dtype)

    def logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits of the pairs, (n,) float32, in order."""
        scores = np.empty(len(encodings), dtype=np.float32)
        for indices in slices([len(encoding.ids) for encoding in encodings]):
            scores[indices] = self._batch([encodings[i] for i in indices])
        return scores

    def _batch(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
        ids = np.full(shape, self._padding, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
            types[row, encoding.second : len(encoding.ids)] = 1
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            **({"token_type_ids": types} if self._segments else {}),
        }
        tensors = {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()}
        logits: NDArray[np.float32] = self._model(**tensors).logits[:, 0].float().cpu().numpy()
        return logits


def _keep_head_in_float32(model: Any, dtype: torch.dtype) -> None:
    """Cast the base model to `dtype`, but not its pooler nor the head that reads its states."""
    base = model.base_model.to(dtype)
    base.register_forward_hook(lambda _, __, output: _in_float32(output))
    pooler = getattr(base, "pooler", None)
    if pooler is not None:
        pooler.float().register_forward_pre_hook(lambda _, inputs: tuple(_in_float32(list(inputs))))


def _in_float32(values: Any) -> Any:
    """Cast the floating tensors of a model output (a mapping) or of a list, in place; return it."""
    for key, value in list(values.items() if hasattr(values, "items") else enumerate(values)):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            values[key] = value.float()
    return values


def slices(lengths: Sequence[int], limit: int = MAX_PADDED_TOKENS) -> Iterator[list[int]]:
    """Yield indices of pairs of like length, longest first, at most `limit` padded tokens a slice."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > limit:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
