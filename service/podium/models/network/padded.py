"""Padded forward for every architecture that cannot be packed: what transformers makes of it, unchanged."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from podium.models import architectures
from podium.models.base import Encoding
from podium.models.devices import placed
from podium.models.recipe import Own, Recipe

logger = logging.getLogger(__name__)

_PROBE = (7, 19, 67)
"""Tokens of pairs that are scored apart and beside each other: padding is most of the short ones' rows."""
_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Greatest difference of the two, relative to how far the pairs' logits lie apart, that is no more than
another order of sums. Where it is more for no reason, pairs of one length go together: slower, and right."""
_SAME = 1e-5
"""Greatest difference by another token in the places of padding, relative to logits above 1, of one forward
and its like."""

MAX_PADDED_TOKENS = 4096
"""Tokens of one padded product on the CPU, padding included; one longer pair goes alone. An accelerator
computes a batch at once: how large it is was measured there, and has its padding counted."""


class PaddedForward:
    """The padded forward of one model, on one device; call it from one thread."""

    name = "padded"
    pads = True

    def __init__(
        self, network: Any, head: nn.Module, recipe: Recipe, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Take over `network`, whose base model is of `dtype`, and the head that `heads.make_head` made.

        A checkpoint's own head is run by the network itself, whatever it does between base model and head.
        """
        self._own = isinstance(recipe.head, Own)
        self._network = (network if self._own else network.base_model).eval().requires_grad_(False)
        self._network.to(device)
        self._head = head.to(device)
        self._state = recipe.state
        self._temperature = recipe.temperature
        self.device = device
        self._most = MAX_PADDED_TOKENS if device.type == "cpu" else None
        padding = getattr(network.config.get_text_config(), "pad_token_id", None)
        if self._own and hasattr(network, "score") and padding is None:
            self._most = 0  # without padding transformers' classifiers of decoders take one pair alone
        self._padding = padding or 0
        self._segments = architectures.has_segments(network, told=recipe.segments)
        if self._own and dtype != torch.float32:
            _give_head_float32(network)
        self.failure: Exception | None = None
        """What the probe of padding raised: random tokens may not be enough, or the dtype is not for it."""
        self._mixes = self._masks_padding(network.config, dtype)

    @torch.inference_mode()
    def _masks_padding(self, config: Any, dtype: torch.dtype) -> bool:
        """Whether padding leaves a score alone, by a few pairs: FNet, ConvBERT and others do not mask it out,
        and a score would depend on the longest pair of its batch.
        """
        random = np.random.default_rng(0)
        vocabulary = getattr(config, "vocab_size", None) or 64
        first = min(5, vocabulary - 1)  # behind the usual special tokens
        most = architectures.usable_length(self._network) or max(_PROBE)
        pairs = [
            Encoding(random.integers(first, vocabulary, t).astype(np.int32), t, cut=False, needed=t)
            for t in _PROBE
            if t <= most
        ]
        if isinstance(end := getattr(config, "eos_token_id", None), int):
            for pair in pairs:
                pair.ids[pair.ids == end] = first
                pair.ids[-1] = end  # BART, T5 and their kin read its state, and fail without
        if len(pairs) < 2:
            return False
        try:
            apart = np.concatenate([self._batch([pair]) for pair in pairs])
            beside = self._batch(pairs)
            # decoders, which see nothing that comes later, tell a pair's end by its padding
            other = beside if hasattr(self._network, "score") else self._batch(pairs, padding=first)
        except Exception as error:  # noqa: BLE001 it may want more than random tokens
            self.failure = error.with_traceback(None)  # whose frames hold the network
            logger.info("pairs of one length are scored together: the probe of padding fails with %r", error)
            return False
        alike = np.abs(beside - other) <= _SAME * np.maximum(1, np.abs(beside))
        return bool((alike & (np.abs(apart - beside) <= _ROUNDING[dtype] * np.ptp(apart))).all())

    def logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits of the pairs, (n,) float32, in order."""
        scores = np.empty(len(encodings), dtype=np.float32)
        for indices in self._slices([len(encoding.ids) for encoding in encodings]):
            scores[indices] = self._batch([encodings[i] for i in indices])
        return scores

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Return how many tokens are computed for these pairs, padding included."""
        lengths = [len(encoding.ids) for encoding in encodings]
        return sum(len(part) * lengths[part[0]] for part in self._slices(lengths))

    def _slices(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        return slices(lengths, self._most, mixed=self._mixes)

    def _batch(self, encodings: Sequence[Encoding], padding: int | None = None) -> NDArray[np.float32]:
        shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
        ids = np.full(shape, self._padding if padding is None else padding, dtype=np.int64)
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
        tensors = {name: placed(values, self.device) for name, values in inputs.items()}
        output = self._network(**tensors)
        if self._own:
            logits = output.logits[:, 0].float() / self._temperature
        else:
            logits = self._head(self._reduced(output.last_hidden_state, tensors["attention_mask"]))
        found: NDArray[np.float32] = logits.cpu().numpy()
        return found

    def _reduced(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the state that the head reads of each pair: (n, t, h) and (n, t) → (n, h) float32."""
        match self._state:
            case "first":
                return states[:, 0].float()
            case "last":
                return states[torch.arange(len(states)), mask.sum(1) - 1].float()
            case "mean":
                held = mask.unsqueeze(-1)
                return (states.float() * held).sum(1) / held.sum(1)


def _give_head_float32(network: Any) -> None:
    """Hand the states of a base model of less precision to its pooler and head, which are float32."""
    base = network.base_model
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


def slices(
    lengths: Sequence[int], limit: int | None = MAX_PADDED_TOKENS, *, mixed: bool = True
) -> Iterator[list[int]]:
    """Yield indices of pairs of like length, longest first, at most `limit` padded tokens a slice.

    Without a limit it is one slice; without `mixed` those of a slice are of one length.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = batch and limit is not None and lengths[batch[0]] * (len(batch) + 1) > limit
        if full or (batch and not mixed and lengths[index] != lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
