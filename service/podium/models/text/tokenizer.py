"""Texts in, token ids out: how a recipe's pairs are read, as the tokenizer's own pairs or in a prompt."""

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer as Backend
from tokenizers import normalizers

from podium.models.base import Encoding, Tokens
from podium.models.recipe import Pair, Recipe
from podium.models.text import proof
from podium.models.text.callers import clean, control_tokens
from podium.models.text.pairs import PairTokenizer, check_characters, check_tokens, read_part, room
from podium.models.text.prompt import CutPrompt
from podium.models.text.reading import TEXT_CHARACTERS
from podium.models.text.whole import WholePrompt

_PAIR_BY_PAIR = (
    "the prompt cannot be cut around its document: it is made and tokenized for each pair, which is slower"
)


class PromptTokenizer:
    """Reads pairs in a prompt; safe to call from any thread.

    `instruction` stands in its place where a query brings none; `unread` as `pairs.read_part` has it. Raises
    ValueError where no room for text is left.
    """

    def __init__(
        self,
        prompt: CutPrompt | WholePrompt,
        max_length: int,
        instruction: str | None,
        unread: int | None = None,
    ) -> None:
        prompt.max_length = self.max_length = max_length
        self._unread = unread
        self.shares = isinstance(prompt, CutPrompt) and prompt.shared
        self.cut = isinstance(prompt, CutPrompt)
        self.notes = () if self.cut else (_PAIR_BY_PAIR,)
        self._prompt, self._instruction = prompt, instruction or ""
        self.special_tokens = prompt.fixed({"instruction": clean(self._instruction)})
        room(max_length, self.special_tokens, "tokens of the prompt")

    def queries(
        self, texts: Sequence[str], *, instruction: str | None = None, max_characters: int | None = None
    ) -> list[Tokens]:
        """Return the tokens of each query, in order, with the prompt around them.

        Raises InvalidRequest for an instruction that leaves no room for texts.
        """
        limit = max_characters or TEXT_CHARACTERS
        said = clean(self._instruction if instruction is None else instruction)
        if instruction is not None:
            check_characters(said)
            check_tokens(self._prompt.fixed({"instruction": said}), self.max_length)
        return [
            self._prompt.query({"instruction": said, "query": clean(text[:limit])})._replace(
                cut=len(text) > limit
            )
            for text in texts
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
        """Return the tokens of each document, in order, with those that stand right beside it."""
        limit = max_characters or TEXT_CHARACTERS
        found = self._prompt.documents(
            [clean(text[:limit]) for text in texts], offsets=offsets, begins=begins, ends=ends
        )
        return [tokens._replace(cut=len(text) > limit) for tokens, text in zip(found, texts, strict=True)]

    def pair(self, query: Tokens, document: Tokens) -> Encoding:
        """Join a pair with its prompt, cut to `max_length`."""
        return read_part(self._prompt.pair(query, document), self._unread)


def make(
    backend: Backend,
    recipe: Recipe,
    max_length: int,
    *,
    segments: bool,
    special: Mapping[str, object] | None = None,
    padding: int | None = None,
) -> PairTokenizer | PromptTokenizer:
    """Return how a recipe's pairs are read with its tokenizer, which is ours from now on.

    `segments`: whether both the network and the tokenizer know token types; `special`: the tokenizer's
    special tokens by their roles, for chat templates; `padding`: the network's padding token. Raises
    ValueError where it cannot be as the reference reads them, or `max_length` leaves no room for text.
    """
    causal = recipe.attention == "causal"
    passed = padding if recipe.passes_padding else None
    text = _made(
        backend,
        recipe,
        max_length,
        segments=segments,
        special=special or {},
        # what stands behind the state that is read changes nothing of it
        unread=passed if causal else None,
    )
    if passed is not None and not causal and _sample(text).ids[-1:].tolist() == [passed]:
        raise ValueError(
            f"pairs end with the padding token {passed} (pad_token_id), which transformers passes over and "
            "the tokens before it attend; save the model with a padding token of its own"
        )
    return text


def _sample(text: PairTokenizer | PromptTokenizer) -> Encoding:
    (query,), (document,) = text.queries(["x"]), text.documents(["x"])
    return text.pair(query, document)


def _made(
    backend: Backend,
    recipe: Recipe,
    max_length: int,
    *,
    segments: bool,
    special: Mapping[str, object],
    unread: int | None,
) -> PairTokenizer | PromptTokenizer:
    backend.no_truncation()
    backend.no_padding()
    if recipe.lower_case:
        _lower(backend)
    if recipe.instruction_use != "none":
        _refuse_control(backend, recipe.instruction or "")
    causal = recipe.attention == "causal"
    if isinstance(recipe.template, Pair):
        return PairTokenizer(
            backend,
            max_length,
            segments=segments,
            prompt=(recipe.instruction or "") if recipe.instruction_use == "before query" else None,
            side=recipe.truncation_side,
            causal=causal,
            unread=unread,
        )
    prompt = proof.make(backend, recipe.template, special, causal=causal)
    return PromptTokenizer(prompt, max_length, recipe.instruction, unread)


def _refuse_control(backend: Backend, instruction: str) -> None:
    """Refuse a default instruction that steers the model where its reference reads it."""
    for token in control_tokens(backend).values():
        if token in instruction:
            raise ValueError(
                f"the default instruction {instruction[:100]!r} writes the control token {token}, which is "
                "read as its characters; take it out, or set PODIUM_INSTRUCTION"
            )


def _lower(backend: Backend) -> None:
    """Lower texts before they are tokenized, unless the tokenizer does so itself."""
    own = backend.normalizer
    if own is None or own.normalize_str("ABC") != "abc":
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([] if own is None else [own])])
