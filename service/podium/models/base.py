"""The contract between the data path and a model. No torch here: engine, tests and dialects may import it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray


class Tokens(NamedTuple):
    """One text as the tokenizer reads it, without special tokens."""

    ids: NDArray[np.int32]
    """(t,) token ids."""
    cut: bool
    """Whether anything of the text was cut, before tokenization or after."""
    offsets: NDArray[np.int32] | None = None
    """(t, 2) where each token begins and ends in the text, in code points; only where it was asked for."""


class Encoding(NamedTuple):
    """One query-document pair as the model reads it, special tokens included."""

    ids: NDArray[np.int32]
    """(t,) token ids, t ≤ the model's `max_length`."""
    second: int
    """Where the document's segment (token type 1) begins; t where the model knows one segment only."""
    cut: bool
    """Whether anything of the pair was cut to fit."""
    needed: int
    """Tokens that the pair has before it is cut (at least, where `Tokens.cut` is set)."""
    shared: int = 0
    """Leading tokens that are the same for all documents of this query: a batch computes them once."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `/info`, `/v1/models`, the logs and `podium_model_info` tell of the loaded model."""

    uri: str
    revision: str | None
    architecture: str
    """Class name of transformers, such as `BertForSequenceClassification`."""
    device: str
    """`cpu`, `cuda:0`, `mps`."""
    dtype: str
    """`float32`, `bfloat16`, `float16`."""
    forward: str
    """`packed`, or `padded` for architectures that cannot be packed."""
    max_length: int
    """Tokens of a pair, special tokens included."""
    special_tokens: int
    """Tokens of a pair that are no text, such as `[CLS]`."""
    label: str
    """Name of the one label in the model's config."""


class Model(Protocol):
    """A loaded cross-encoder.

    `tokenize` and `pair` may be called from any thread; `score` from one thread only.
    """

    info: ModelInfo

    def tokenize(
        self, texts: Sequence[str], *, max_characters: int | None = None, offsets: bool = False
    ) -> list[Tokens]:
        """Return the tokens of each text, in order.

        Each text is cut to `max_characters` first, by default to 128 per token of the limit.
        """
        ...

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join what `fitting.fit` left of a pair with the model's special tokens.

        A pair that does not fit is cut as `fitting.truncate` says.
        """
        ...

    def score(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits, (n,) float32, in order.

        Raises OutOfMemory where the batch does not fit the device; anything else it raises is a failure of
        this batch alone.
        """
        ...
