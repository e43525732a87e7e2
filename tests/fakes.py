"""A model that misbehaves on command, for tests of everything around the model."""

import re
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from podium.errors import OutOfMemory
from podium.models.base import Encoding, ModelInfo, Tokens


class PanicError(BaseException):
    """What a library in Rust raises where it panics: no Exception, and known by its name alone."""


PanicError.__name__ = "PanicException"

INFO = ModelInfo(
    uri="fake",
    revision=None,
    architecture="FakeForSequenceClassification",
    device="cpu",
    dtype="float32",
    forward="packed",
    max_length=64,
    special_tokens=1,
    label="RELEVANCE",
)


class FakeModel:
    """Tokens are words, `max_length` counts them, and a document's words command its score.

    `score=1.5` is the document's logit (0.0 without). `raise`, `oom` (in a batch of more than `oom_pairs`
    pairs), `nan`, `sleep=0.5` (seconds) and `block` (until `unblock()`) say how the batch that holds the
    document fares; `untokenizable` fails the tokenizer, and `panic` does as
    Rust code fails, or the batch with `panics_late`. Every batch waits for a turn of `gate` where one is
    set. With `shares` query and separator are a prefix that a batch computes once. `batches` are
    the documents that were scored, `slices` the documents that were tokenized, in order.
    """

    def __init__(
        self, info: ModelInfo = INFO, *, gate: threading.Semaphore | None = None, shares: bool = False
    ) -> None:
        self.info = info
        self.pads = info.forward == "padded"
        self.shares = shares
        self.threads = 1
        self.batches: list[list[str]] = []
        self.slices: list[list[str]] = []
        self.oom_pairs = 0
        self.panics_late = False
        self.seconds_per_token = 0.0
        self._gate = gate
        self.blocked = threading.Event()
        """Set once a batch waits for `unblock()`; `batches` has those of the start, too."""
        self._unblocked = threading.Event()
        self._words: list[str] = ["<sep>"]
        self._ids: dict[str, int] = {"<sep>": 0}

    def unblock(self) -> None:
        """Let a blocked batch end, and every later one pass."""
        self._unblocked.set()

    def queries(
        self, texts: Sequence[str], *, instruction: str | None = None, max_characters: int | None = None
    ) -> list[Tokens]:
        """Split queries into words, those of an instruction before them."""
        return [
            tokens._replace(fixed=self.info.special_tokens)
            for tokens in self._split([f"{instruction or ''} {text}".strip() for text in texts])
        ]

    def documents(
        self,
        texts: Sequence[str],
        *,
        max_characters: int | None = None,
        offsets: bool = False,
        begins: bool = True,
        ends: bool = True,
    ) -> list[Tokens]:
        """Split documents into words."""
        self.slices.append(list(texts))
        return [tokens._replace(begins=begins, ends=ends) for tokens in self._split(texts, offsets=offsets)]

    def _split(self, texts: Sequence[str], *, offsets: bool = False) -> list[Tokens]:
        if any("untokenizable" in text for text in texts):
            raise RuntimeError("secret details of the tokenizer")
        if not self.panics_late and any("panic" in text for text in texts):
            raise PanicError("secret details of the tokenizer")
        return [self._tokens(text, offsets) for text in texts]

    def _tokens(self, text: str, offsets: bool) -> Tokens:
        words = list(re.finditer(r"\S+", text))
        ids = np.array([self._id(word[0]) for word in words], np.int32)
        spans = np.array([word.span() for word in words], np.int32).reshape(-1, 2)
        return Tokens(ids, False, spans if offsets else None)

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join query, separator and document; what does not fit is cut off the document."""
        ids = np.concatenate([query.ids, np.zeros(1, np.int32), document.ids])
        limit = self.info.max_length
        cut = query.cut or document.cut or len(ids) > limit
        shared = len(query.ids) + 1 if self.shares else 0
        return Encoding(ids[:limit], len(query.ids) + 1, cut, len(ids), shared, ids[:shared].tobytes())

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Count each prefix once, or the longest pair for every pair."""
        lengths = [len(each.ids) for each in encodings]
        prefixes = {each.prefix: each.shared for each in encodings}
        shared = sum(each.shared for each in encodings) - sum(prefixes.values())
        return max(lengths) * len(lengths) if self.pads else sum(lengths) - shared

    def score(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Do what the documents of the batch command."""
        documents = [" ".join(self._words[i] for i in each.ids[each.second :]) for each in encodings]
        self.batches.append(documents)
        if self._gate is not None:
            self._gate.acquire()
        time.sleep(self.seconds_per_token * sum(len(each.ids) for each in encodings))
        for words in map(str.split, documents):
            self._obey(words, len(encodings))
        return np.array([_logit(document.split()) for document in documents], np.float32)

    def _obey(self, words: list[str], pairs: int) -> None:
        if "raise" in words:
            raise RuntimeError("secret details of the device")
        if "panic" in words:
            raise PanicError("secret details of the device")
        if "oom" in words and pairs > self.oom_pairs:
            raise OutOfMemory("the batch does not fit")
        if "block" in words:
            self.blocked.set()
            self._unblocked.wait()
        for word in words:
            if word.startswith("sleep="):
                time.sleep(float(word.removeprefix("sleep=")))

    def _id(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]


def _logit(words: list[str]) -> float:
    if "nan" in words:
        return float("nan")
    return next((float(word.removeprefix("score=")) for word in words if word.startswith("score=")), 0.0)
