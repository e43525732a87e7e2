"""The model that the data path sees: a tokenizer and a forward behind the protocol of `base`."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from podium.errors import OutOfMemory
from podium.models.base import Encoding, ModelInfo
from podium.models.devices import Threads
from podium.models.recipe import Recipe
from podium.models.text.pairs import PairTokenizer
from podium.models.text.tokenizer import PromptTokenizer


class Forward(Protocol):
    """A way to run a network: `packed.PackedForward` or `padded.PaddedForward`."""

    name: str
    device: torch.device
    pads: bool
    """Whether a batch costs its longest pair times their number."""

    def logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits of at least one pair, (n,) float32, in order."""
        ...

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Return how many tokens are computed for these pairs."""
        ...


class CrossEncoder:
    """A loaded cross-encoder: `podium.models.base.Model`."""

    def __init__(
        self, info: ModelInfo, tokenizer: PairTokenizer | PromptTokenizer, forward: Forward, recipe: Recipe
    ) -> None:
        self.info = info
        self.recipe = recipe
        self.queries = tokenizer.queries
        self.documents = tokenizer.documents
        self.pair = tokenizer.pair
        self.computed = forward.computed
        self.pads = forward.pads
        self.shares = tokenizer.shares and not self.pads
        self.forward = forward
        self._threads = Threads()

    @property
    def threads(self) -> int:
        """Threads that compute on a CPU now."""
        return self._threads.count

    def score(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits, (n,) float32, in order; raises OutOfMemory where the batch does not fit.

        Each pair has a token at least: `fitting.fit` refuses those without.
        """
        self._threads.follow()
        try:
            with torch.inference_mode():
                return self.forward.logits(encodings)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _out_of_memory(error):
                raise
            tokens = sum(len(encoding.ids) for encoding in encodings)
            raise OutOfMemory(
                f"a batch of {len(encodings)} pairs with {tokens} tokens does not fit the memory of "
                f"{self.info.device}; lower PODIUM_MAX_BATCH_TOKENS"
            ) from error


_NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; but for most of CUDA's only the message says so."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY)
