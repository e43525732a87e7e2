"""Which architectures can be packed, and what packing must know of each. One table."""

from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from podium.models.folder import refused


class Positions(NamedTuple):
    """How a model numbers the tokens of a pair."""

    first: int
    """Position of the first token."""
    padding: int | None
    """Id of a token that is not counted, and has its own id as position; None where all are counted."""


def usable_length(network: Any) -> int | None:
    """Return for how many tokens of a pair a model has positions; None where tokens have none of their own,
    512 where its config does not say.
    """
    config = network.config.get_text_config()
    count = getattr(config, "max_seq_len" if config.model_type == "mpt" else "max_position_embeddings", None)
    if not isinstance(count, int) or count <= 0:
        return None if config.model_type in _BY_DISTANCE else 512
    base = network.base_model
    # Nystroemformer and its kin have rows beside those that they say, RoBERTa and its kin say all rows
    table = getattr(getattr(base, "embeddings", None), "position_embeddings", None)
    return min(count, getattr(table, "num_embeddings", count) - positions(base).first)


def longest(config: Any) -> int:
    """Return tokens of a pair at most, whatever a model could take: attention grows with the square."""
    return 2048 if config.model_type in _BY_DISTANCE else 8192


def short_length(config: Any) -> int | None:
    """Return for how many tokens LongRoPE's short factors are; None for other positions.

    Beyond them transformers turns all tokens of a batch by the long ones, so a pair's score would depend on
    the longest one that it is scored with.
    """
    said = getattr(config, "rope_parameters", None) or {}
    kinds = [said, *(kind for kind in said.values() if isinstance(kind, dict))]
    lengths = [
        kind.get("original_max_position_embeddings") for kind in kinds if kind.get("rope_type") == "longrope"
    ]
    return min((length for length in lengths if isinstance(length, int)), default=None)


_UNFIT = (AttributeError, TypeError, RuntimeError)
"""What an embedding raises that wants something else than tokens and their positions."""


@torch.no_grad()
def positions(base: Any) -> Positions:
    """Find how a base model numbers tokens, by what its embedding gives with positions and without.

    RoBERTa and what descends from it begin after the padding index and skip padding. Raises ValueError where
    a model numbers them in a way that is not known here, and PermanentStartError where it needs the padding
    index and its config has none.
    """
    padding = getattr(base.config, "pad_token_id", None)
    embedding = getattr(base, "embeddings", None)
    if embedding is None:
        return Positions(0, None)
    # the last tokens: one that a model takes for padding, whatever its config says, is among the first ones
    count = getattr(base.config, "vocab_size", None) or 4
    text = [token for token in range(count - 1, max(-1, count - 5), -1) if token != padding][:3]
    try:
        at_0 = _embedded(embedding, text, 0)
    except _UNFIT:  # it takes no positions, or does not embed tokens alone
        return Positions(0, None)
    try:
        own = _embedded(embedding, text)
    except _UNFIT:
        if padding is not None:
            return Positions(0, None)
        raise refused(
            f"config.json has `pad_token_id` null, and {type(base).__name__} numbers the tokens of a pair "
            "from it on; say the id of the tokenizer's padding token"
        ) from None
    # a padding token behind the last position is no place to begin
    last = getattr(base.config, "max_position_embeddings", None) or 0
    after = [2] if padding is None or padding + len(text) >= last else [padding + 1, 2]
    starts = dict.fromkeys(start for start in after if start + len(text) <= (last or start + 4))
    found = [0] if torch.equal(own, at_0) else []
    found += [start for start in starts if torch.equal(own, _embedded(embedding, text, start))]
    if not found:
        raise ValueError(f"the positions of {type(base).__name__} begin neither at 0, at 2 nor after padding")
    if padding is None or found[0] == 0:
        return Positions(found[0], None)
    with_padding = [text[0], padding, text[1]]
    counted = torch.equal(_embedded(embedding, with_padding), _embedded(embedding, with_padding, found[0]))
    return Positions(found[0], None if counted else padding)


def _embedded(embedding: Any, tokens: list[int], first: int | None = None) -> Tensor:
    """Return what an embedding gives for a pair of these tokens, whose positions begin at `first`."""
    device = next(embedding.parameters()).device
    inputs = {"input_ids": torch.tensor([tokens], device=device)}
    if "token_type_ids" in signature(embedding.forward).parameters:
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])  # LUKE fails without
    if "bbox" in signature(embedding.forward).parameters:
        inputs["bbox"] = torch.zeros(1, len(tokens), 4, dtype=torch.long, device=device)  # LayoutLM
    if first is not None:
        inputs["position_ids"] = torch.arange(first, first + len(tokens), device=device).unsqueeze(0)
    embedded = embedding(**inputs)
    result: Tensor = embedded if isinstance(embedded, Tensor) else embedded[0]
    return result


def packable(model: Any) -> bool:
    """Whether a loaded model takes packed pairs: transformers' own code, attention through its attention
    interface, positions from `position_ids`, a head that reads one state of a pair, or their mean.
    """
    config = model.config
    native = type(model).__module__.startswith("transformers.models.")
    plain = not getattr(config, "is_decoder", False) and not getattr(config, "add_cross_attention", False)
    # EuroBERT's "late" pooling is the mean of every token's logit
    late = hasattr(model, "classifier") and getattr(config, "classifier_pooling", None) == "late"
    return native and plain and not late and (config.model_type in PACKABLE or disentangled(config))


def disentangled(config: Any) -> bool:
    """Whether it is a DeBERTa v2 or v3 that can be packed: a convolution mixes neighbouring tokens."""
    return config.model_type == "deberta-v2" and not getattr(config, "conv_kernel_size", 0)


def has_segments(network: Any, *, told: bool) -> bool:
    """Whether the model knows two segments (token types), and is given them.

    GPT-2, CTRL and FlauBERT read them as words of the vocabulary, and have no number of them in their config:
    for them none is not all zeros, and they are given what the tokenizer makes, `told`, alone.
    """
    known = getattr(network.config, "type_vocab_size", None)
    if known is not None:
        return int(known) > 1
    return told and "token_type_ids" in signature(network.base_model.forward).parameters


def bert_layers(base: Any) -> Any:
    """Return the layers of a packable base model that has BERT's in their names; None for another one."""
    return base.encoder.layer if base.config.model_type in _LIKE_BERT else None


_BY_DISTANCE = frozenset({"bloom", "funnel", "mpt", "mt5", "t5", "umt5", "xlnet"})
"""Values of `model_type` whose attention knows how far tokens lie apart, however far. transformers holds a
number for each two tokens and head several times over: 12 heads and 2,048 tokens take 0.4 to 0.9 GiB, 8,192
tokens would take 16 times that.
"""

_LIKE_BERT = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert"})

DECODERS = frozenset({"gemma", "gemma2", "gpt2", "llama", "mistral", "qwen2", "qwen3"})

ENCODERS = _LIKE_BERT | {
    "data2vec-text",
    "distilbert",
    "ernie",
    "eurobert",
    "gte",
    "jina_embeddings_v3",
    "modernbert",
    "nomic_bert",
    "roberta-prelayernorm",
    "xlm-roberta-xl",
}

PACKABLE = ENCODERS | DECODERS
"""Values of `model_type` in config.json, each tested against transformers' own padded forward."""
