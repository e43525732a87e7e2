"""Texts in, token ids out: tokenization once a text, pairs put together afterwards in numpy.

A query is tokenized once for all its documents, so pairs cannot be left to the tokenizer's own pair encoding.
What that would have put around the two texts (`[CLS] q [SEP] d [SEP]`) is learnt from it at load instead.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.models.base import Encoding, Tokens
from podium.models.text.fitting import CHARACTERS_PER_TOKEN, truncate

_PROBES = (("what is a panda", "a bear"), ("x", "The panda lives in China, in six mountain ranges."))

Ids = NDArray[np.int32]


class Template(NamedTuple):
    """The special tokens that a tokenizer puts before, between and after query and document."""

    prefix: Ids
    middle: Ids
    suffix: Ids
    second_segment: bool
    """Whether the document and the suffix are segment 1 (token types); False: everything is segment 0."""

    @property
    def size(self) -> int:
        """Special tokens of a pair."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


class Tokenizer:
    """The tokenizer of one model, safe to call from any thread.

    `backend` is a `tokenizers.Tokenizer`, ours from now on; `max_length` counts a pair's tokens, special
    ones included. Raises ValueError where its pairs follow no template, or where no room for text is left.
    """

    def __init__(self, backend: Any, max_length: int, *, segments: bool) -> None:
        self._backend = backend
        # tokenizer.json may carry both; here pairs are cut by `truncate` and never padded
        self._backend.no_truncation()
        self._backend.no_padding()
        self.max_length = max_length
        self.template = learn_template(self._backend, segments=segments)
        self._room = max_length - self.template.size
        if self._room < 2:
            raise ValueError(
                f"max_length {max_length} leaves no room beside {self.template.size} special tokens"
            )
        self._max_characters = CHARACTERS_PER_TOKEN * max_length

    def queries(
        self, texts: Sequence[str], *, instruction: str | None = None, max_characters: int | None = None
    ) -> list[Tokens]:
        """Return the tokens of each query, in order."""
        return [
            tokens._replace(fixed=self.template.size)
            for tokens in self.documents(texts, max_characters=max_characters)
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
        """Return the tokens of each text, in order; the GIL is released while the library works.

        A text is cut to `max_characters` first, by default to 128 per token of the limit.
        """
        limit = max_characters or self._max_characters
        encode = self._backend.encode_batch if offsets else self._backend.encode_batch_fast
        encodings = encode([_clean(text[:limit]) for text in texts], add_special_tokens=False)
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int32),
                len(text) > limit,
                np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2) if offsets else None,
                begins=begins,
                ends=ends,
            )
            for encoding, text in zip(encodings, texts, strict=True)
        ]

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join a pair with the template's special tokens, cut to `max_length`."""
        prefix, middle, suffix, second_segment = self.template
        kept_query, kept_document = truncate(len(query.ids), len(document.ids), self._room)
        q, d = query.ids[:kept_query], document.ids[:kept_document]
        ids = np.concatenate((prefix, q, middle, d, suffix))
        needed = len(query.ids) + len(document.ids) + self.template.size
        return Encoding(
            ids=ids,
            second=len(prefix) + kept_query + len(middle) if second_segment else len(ids),
            cut=query.cut or document.cut or len(ids) < needed,
            needed=needed,
        )


def learn_template(backend: Any, *, segments: bool) -> Template:
    """Read the template off the pair encoding of one probe and check it against another's.

    `segments`: whether the model has token types; the tokenizer may number them for a model that has not.
    Raises ValueError where the two probes disagree or the texts are not found in their pair.
    """
    template = _template_of(backend, *_PROBES[0], segments=segments)
    other = _template_of(backend, *_PROBES[1], segments=segments)
    if repr(template) != repr(other):
        raise ValueError("the tokenizer puts other special tokens around one pair than around another")
    return template


def _template_of(backend: Any, query: str, document: str, *, segments: bool) -> Template:
    q, d = (backend.encode(text, add_special_tokens=False).ids for text in (query, document))
    pair = backend.encode(query, document)
    start = _find(q, pair.ids, 0)
    end = start + len(q)
    second = _find(d, pair.ids, end)
    types = [0] * second + [1] * (len(pair.ids) - second)
    if segments and pair.type_ids not in (types, [0] * len(types)):
        raise ValueError(f"the tokenizer numbers the segments of a pair {pair.type_ids}, expected {types}")
    parts = pair.ids[:start], pair.ids[end:second], pair.ids[second + len(d) :]
    prefix, middle, suffix = (np.array(part, dtype=np.int32) for part in parts)
    return Template(prefix, middle, suffix, segments and pair.type_ids == types)


def _find(part: list[int], whole: list[int], start: int) -> int:
    for at in range(start, len(whole) - len(part) + 1):
        if part and whole[at : at + len(part)] == part:
            return at
    raise ValueError("the tokenizer reads a text differently alone and in a pair")


def _clean(text: str) -> str:
    """Return text without lone surrogates, which the library refuses; `?` stands for each."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
