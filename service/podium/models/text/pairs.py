"""Pairs as the tokenizer's own pair encoding, such as `[CLS] query [SEP] document [SEP]`.

A query is tokenized once for all its documents, so pairs cannot be left to that encoding. What it would have
put around the two texts is learnt from it at load instead, and they are put together in numpy.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

from podium.errors import InvalidRequest
from podium.models.base import Encoding, Tokens
from podium.models.text.callers import clean, control_tokens, without
from podium.models.text.fitting import truncate
from podium.models.text.reading import INSTRUCTION_CHARACTERS, TEXT_CHARACTERS

_PROBES = (("what is a panda", "a bear"), ("x", "The panda lives in China, in six mountain ranges."))

Ids = NDArray[np.int32]

LEAST_ROOM = 2
"""Tokens that are left for texts, at least."""


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


class PairTokenizer:
    """Reads pairs as the tokenizer's own pair encoding; safe to call from any thread.

    `backend` is a `tokenizers.Tokenizer`, ours from now on; `max_length` counts a pair's tokens, special
    ones included. A `prompt` is what stands before each query that brings none, nothing between; where it
    is None, instructions are ignored. `causal`: what stands before a document is computed once for all of a
    query's documents. `unread` as `read_part` has it. Raises ValueError where the pairs follow no template,
    or no room for text is left.
    """

    def __init__(
        self,
        backend: Backend,
        max_length: int,
        *,
        segments: bool,
        prompt: str | None = None,
        side: Literal["left", "right"] = "right",
        causal: bool = False,
        unread: int | None = None,
    ) -> None:
        # tokenizer.json may carry both; here pairs are cut by `truncate` and never padded
        backend.no_truncation()
        backend.no_padding()
        self.max_length = max_length
        self.template = learn_template(backend, segments=segments)
        self.shares = causal
        self.notes: tuple[str, ...] = ()
        self._callers = without(backend, set(control_tokens(backend).values()), used_up=True)
        self._prompt, self._left, self._unread = prompt, side == "left", unread
        self._room = room(max_length, self.special_tokens, "special tokens")

    @property
    def special_tokens(self) -> int:
        """Tokens of a pair that are no text."""
        return self.template.size

    def queries(
        self, texts: Sequence[str], *, instruction: str | None = None, max_characters: int | None = None
    ) -> list[Tokens]:
        """Return the tokens of each query, in order, those of its prompt before them.

        Raises InvalidRequest for an instruction that leaves no room for texts.
        """
        said = self._prompt if instruction is None else instruction
        before = said if said and self._prompt is not None else ""
        if before and instruction is not None:
            check_characters(before)
            (tokens,) = self._read([before], offsets=False)
            check_tokens(len(tokens.ids) + self.special_tokens, self.max_length)
        limit = max_characters or TEXT_CHARACTERS
        return [
            tokens._replace(cut=len(text) > limit, fixed=self.template.size)
            for tokens, text in zip(
                self._read([before + text[:limit] for text in texts], offsets=False), texts, strict=True
            )
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

        A text is cut to `max_characters` first, by default to 1 MiB of them.
        """
        limit = max_characters or TEXT_CHARACTERS
        return [
            tokens._replace(cut=len(text) > limit, begins=begins, ends=ends)
            for tokens, text in zip(
                self._read([text[:limit] for text in texts], offsets=offsets), texts, strict=True
            )
        ]

    def _read(self, texts: Sequence[str], *, offsets: bool) -> list[Tokens]:
        encode = self._callers.encode_batch if offsets else self._callers.encode_batch_fast
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int32),
                False,
                np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2) if offsets else None,
            )
            for encoding in encode([clean(text) for text in texts], add_special_tokens=False)
        ]

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join a pair with the template's special tokens, cut to `max_length`."""
        prefix, middle, suffix, second_segment = self.template
        q, d = query.ids, document.ids
        kept_query, kept_document = truncate(len(q), len(d), self._room)
        q = q[len(q) - kept_query :] if self._left else q[:kept_query]
        d = d[len(d) - kept_document :] if self._left else d[:kept_document]
        ids = np.concatenate((prefix, q, middle, d, suffix))
        needed = len(query.ids) + len(document.ids) + self.template.size
        second = len(prefix) + kept_query + len(middle)
        encoding = Encoding(
            ids=ids,
            second=second if second_segment else len(ids),
            cut=query.cut or document.cut or len(ids) < needed,
            needed=needed,
            shared=second if self.shares else 0,
            prefix=ids[:second].tobytes() if self.shares else b"",
        )
        return read_part(encoding, self._unread)


def read_part(encoding: Encoding, unread: int | None) -> Encoding:
    """Return a pair without the tokens `unread` at its end, where a causal network's last other one is read.

    Of a pair of nothing else the first one is left, as transformers has it.
    """
    if unread is None or not len(encoding.ids) or encoding.ids[-1] != unread:
        return encoding
    others = np.flatnonzero(encoding.ids != unread)
    ids = encoding.ids[: others[-1] + 1 if len(others) else 1]
    shared = min(encoding.shared, len(ids))
    return encoding._replace(
        ids=ids,
        second=min(encoding.second, len(ids)),
        shared=shared,
        prefix=ids[:shared].tobytes() if shared < encoding.shared else encoding.prefix,
    )


def room(max_length: int, fixed: int, what: str) -> int:
    """Return the tokens that are left for texts."""
    if max_length - fixed < LEAST_ROOM:
        raise ValueError(f"max_length {max_length} leaves no room beside {fixed} {what}")
    return max_length - fixed


def check_characters(instruction: str) -> None:
    """Refuse an instruction that is too long to be tokenized with each query; raises InvalidRequest."""
    if len(instruction) > INSTRUCTION_CHARACTERS:
        raise InvalidRequest(
            f"instruction: it has {len(instruction)} characters, at most {INSTRUCTION_CHARACTERS} are read; "
            "shorten it",
            "instruction",
        )


def check_tokens(fixed: int, max_length: int) -> None:
    """Refuse an instruction that has, with what else is no text, so many tokens that none are left for texts.

    Raises InvalidRequest.
    """
    if fixed > max_length - LEAST_ROOM:
        raise InvalidRequest(
            f"instruction: with the prompt around it it has {fixed} tokens, of {max_length} for a pair; "
            "shorten it",
            "instruction",
        )


def learn_template(backend: Backend, *, segments: bool) -> Template:
    """Read the template off the pair encoding of one probe and check it against another's.

    `segments`: whether the model has token types; the tokenizer may number them for a model that has not.
    Raises ValueError where the two probes disagree or the texts are not found in their pair.
    """
    template = _template_of(backend, *_PROBES[0], segments=segments)
    other = _template_of(backend, *_PROBES[1], segments=segments)
    if repr(template) != repr(other):
        raise ValueError("the tokenizer puts other special tokens around one pair than around another")
    return template


def _template_of(backend: Backend, query: str, document: str, *, segments: bool) -> Template:
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
