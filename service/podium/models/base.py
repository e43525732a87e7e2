"""The contract between the data path and a model. No torch here: engine, tests and dialects may import it."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray


class Tokens(NamedTuple):
    """One text as the model reads it in its place in a pair: the tokens that hold any of its characters.

    Whoever cuts tokens off an end says so in `begins` or `ends`, and leaves the rest as it is.
    """

    ids: NDArray[np.int32]
    """(t,) token ids."""
    cut: bool
    """Whether anything of the text was cut, before tokenization or after."""
    offsets: NDArray[np.int32] | None = None
    """(t, 2) where each token begins and ends in the text, in code points; only where it was asked for."""
    fixed: int = 0
    """Tokens that come with this text and hold nothing of it: a pair has `fixed` of both texts beside their
    ids. A query brings special tokens, template and instruction, a document what stands right beside it."""
    begins: bool = True
    """Whether the ids begin where the text does."""
    ends: bool = True
    """Whether the ids end where the text does."""
    context: Any = None
    """What the model's `pair` needs beside; nobody else looks into it."""


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
    prefix: bytes = b""
    """Those tokens' ids as bytes, one object for all pairs of a query: cheap to compare and to group by."""

    @property
    def tokens(self) -> int:
        """All that the model reads of the pair."""
        return len(self.ids)


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `/info`, `/v1/models`, the logs and `podium_model_info` tell of the loaded model."""

    uri: str
    revision: str | None
    architecture: str
    """Class name of transformers, such as `BertForSequenceClassification`."""
    device: str
    """`cpu`, `cuda:0`, `mps`."""
    dtype: str
    """`float32`, `bfloat16`, `float16`, `int8`."""
    dtype_from: str = ""
    """What decided it: the setting, or what `auto` found of the device; for int8 also whose scales it has."""
    instruction_set: str | None = None
    """What the processor multiplies with, such as `AVX512-VNNI`; None where it is not the device."""
    faster: str | None = None
    """Which dtype would be faster on this processor, and about how much; None where none is known."""
    forward: str
    """`packed`, or `padded` for architectures that cannot be packed."""
    max_length: int
    """Tokens of a pair, special tokens included."""
    max_length_from: str = "positions"
    """What decided it: a setting, a file and its key, or the model's positions."""
    special_tokens: int
    """Tokens of a pair that are no text, such as `[CLS]`."""
    longest_first: bool = True
    """Whether of a pair that does not fit the longer text is cut; else the document is, see
    `fitting.truncate`."""
    truncation_side: Literal["left", "right"] = "right"
    """Which end of a text is cut off where a request does not say it."""
    label: str
    """Name of the one label in the model's config."""
    family: str = "cross-encoder"
    """Name of the family that tells how the model scores."""
    recognised_by: str = ""
    """The evidence for it."""
    scoring: str = ""
    """Which state is read of a pair, and what makes the logit of it."""
    instruction: str | None = None
    """The instruction where a request brings none."""
    instruction_use: str = "none"
    """Where an instruction goes: `slot`, `before query`, or `none` where they are ignored."""
    activation: str = "sigmoid"
    """What the model's files say is applied to logits."""
    weights_bytes: int = 0
    """Bytes of the weights in memory."""
    max_batch_tokens: int = 4096
    """Tokens of a batch that the device has room for, unless a setting says otherwise."""
    notes: tuple[str, ...] = ()
    """What a user ought to know: files left aside, a vision tower that is not loaded."""


class Model(Protocol):
    """A loaded cross-encoder.

    `queries`, `documents` and `pair` may be called from any thread; `score` from one thread only.
    """

    info: ModelInfo
    pads: bool
    """Whether a batch costs its longest pair times their number, and not the sum of their lengths."""
    shares: bool
    """Whether the pairs of a query begin with a prefix that a batch computes once."""

    @property
    def threads(self) -> int:
        """Threads that compute on a CPU now; their number follows the container's quota."""
        ...

    def queries(
        self, texts: Sequence[str], *, instruction: str | None = None, max_characters: int | None = None
    ) -> list[Tokens]:
        """Return the tokens of each query, in order.

        Without an instruction the model's default stands in its place. Each text is cut to `max_characters`
        first, by default to `reading.TEXT_CHARACTERS`. Raises InvalidRequest for an instruction that leaves
        no room for texts.
        """
        ...

    def documents(
        self,
        texts: Sequence[str],
        *,
        max_characters: int | None = None,
        offsets: bool = False,
        begins: bool = True,
        ends: bool = True,
    ) -> list[Tokens]:
        """Return the tokens of each document, in order.

        `begins` and `ends` say whether the texts are documents from their first and to their last character,
        or parts of longer ones, which `fitting.join` puts together.
        """
        ...

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join what `fitting.fit` left of a pair with whatever stands around it.

        A pair that does not fit is cut as `fitting.truncate` says.
        """
        ...

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Return how many tokens are computed for a batch of at least one pair, padding included.

        Asked before it is scored: what an earlier batch computed of a prefix is not computed again.
        """
        ...

    def score(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits, (n,) float32, in order.

        Raises OutOfMemory where the batch does not fit the device; anything else it raises is a failure of
        this batch alone.
        """
        ...
