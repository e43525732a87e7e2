"""Which architectures can be packed, and what packing must know of each. One table."""

from typing import Any


def usable_length(config: Any) -> int:
    """Return for how many tokens of a pair the model has positions; 512 where its config does not say."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return 512
    return positions - first_position(config)


def first_position(config: Any) -> int:
    """Return the position of a sequence's first token: RoBERTa's positions begin after the padding index."""
    return config.pad_token_id + 1 if config.model_type in _AFTER_PADDING else 0


def packable(model: Any) -> bool:
    """Whether a loaded model takes packed pairs: transformers' own code, bidirectional attention through its
    attention interface, positions from `position_ids`, a head that reads the first token or the mean.
    """
    config = model.config
    native = type(model).__module__.startswith("transformers.models.")
    plain = not getattr(config, "is_decoder", False) and not getattr(config, "add_cross_attention", False)
    return native and plain and (config.model_type in PACKABLE or disentangled(config))


def disentangled(config: Any) -> bool:
    """Whether it is a DeBERTa v2 or v3 that can be packed: a convolution mixes neighbouring tokens."""
    return config.model_type == "deberta-v2" and not getattr(config, "conv_kernel_size", 0)


def has_segments(config: Any) -> bool:
    """Whether the model knows two segments (token types)."""
    return int(getattr(config, "type_vocab_size", None) or 0) > 1


def mean_pooled(config: Any) -> bool:
    """Whether the head reads the mean of a pair's states, not its first state."""
    return getattr(config, "classifier_pooling", "cls") == "mean"


def bert_layers(base: Any) -> Any:
    """Return the layers of a packable base model that has BERT's in their names; None for another one."""
    return base.encoder.layer if base.config.model_type in _LIKE_BERT else None


_LIKE_BERT = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert"})

DECODERS = frozenset({"gemma", "gemma2", "gpt2", "llama", "mistral", "qwen2", "qwen3"})

PACKABLE = _LIKE_BERT | DECODERS | {"eurobert", "gte", "modernbert", "nomic_bert"}
"""Values of `model_type` in config.json, each tested against transformers' own padded forward."""

_AFTER_PADDING = frozenset(
    {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text", "longformer"}
)
