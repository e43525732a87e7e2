"""Models of the families that rerankers come in, of true shape, with random weights, and pairs for them."""

import json
import random
from pathlib import Path
from typing import Any, Literal, NamedTuple

from transformers import AutoModelForCausalLM

from podium.bench import random_weights
from podium.bench.shapes import BUILTIN
from podium.bench.texts import Pair, pairs
from podium.models.network.prefix_cache import CACHED_TOKENS

PREFIX, DOCUMENT = 100, 60
"""Tokens of a decoder's prompt with its query, and of a document with what follows it."""

DOCUMENTS = 100
"""Documents of each of a decoder's requests."""

CURVE = [(prefix, document) for prefix in (50, 100, 300) for document in (30, 60, 200, 500)]
"""Prefix and document lengths of a decoder's curve."""


class Family(NamedTuple):
    """A model to measure beside Sentence Transformers, in each dtype."""

    name: str
    layout: Literal["classifier", "modular", "decoder"]
    """A sequence classifier; a base model with Pooling, Dense, LayerNorm, Dense; a language model that says
    yes or no after a chat template."""
    config: dict[str, Any]


_MODERNBERT = {"model_type": "modernbert", "vocab_size": 50_368, "max_position_embeddings": 8192}

FAMILIES = (
    Family(
        "qwen3-0.6b",
        "decoder",
        {
            "model_type": "qwen3",
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 3072,
            "vocab_size": 151_669,
            "max_position_embeddings": 40_960,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000},
            "tie_word_embeddings": True,
        },
    ),
    Family(
        "mxbai-base-v1",
        "classifier",
        {
            "model_type": "deberta-v2",
            "vocab_size": 128_100,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "type_vocab_size": 0,
            "layer_norm_eps": 1e-7,
            "norm_rel_ebd": "layer_norm",
            "pooler_hidden_act": "gelu",
            "pooler_hidden_size": 768,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "position_buckets": 256,
            "relative_attention": True,
            "share_att_key": True,
        },
    ),
    Family("gte-modernbert", "classifier", {**_MODERNBERT, "classifier_pooling": "mean"}),
    Family(
        "ettin-17m",
        "modular",
        {
            **_MODERNBERT,
            "hidden_size": 256,
            "num_hidden_layers": 7,
            "num_attention_heads": 4,
            "intermediate_size": 384,
        },
    ),
    Family(
        "ettin-68m",
        "modular",
        {
            **_MODERNBERT,
            "hidden_size": 512,
            "num_hidden_layers": 19,
            "num_attention_heads": 8,
            "intermediate_size": 768,
        },
    ),
)

_BEFORE = ["judge", "whether", "the", "document", "answers", "the", "query"]
_TEMPLATE = (
    '{%% for m in messages %%}{%% if m["role"] == "query" %%}%s : {{ m["content"] }}'
    '{%% elif m["role"] == "document" %%} document : {{ m["content"] }} answer :{%% endif %%}{%% endfor %%}'
)


def folder_of(family: Family, under: Path) -> Path:
    """Write a family's model, with random weights and the built-in model's tokenizer, and return its folder.

    Raises ImportError for a modular one where Sentence Transformers, which writes it, is not installed.
    """
    folder = under / family.name
    config = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **family.config}
    if family.layout == "classifier":
        random_weights.save(config, BUILTIN, folder)
    elif family.layout == "decoder":
        random_weights.save(config, BUILTIN, folder, AutoModelForCausalLM)
        (folder / "chat_template.jinja").write_text(_TEMPLATE % " ".join(_BEFORE))
    else:
        random_weights.save_modular(config, BUILTIN, under / f"{family.name}-base", folder)
    return folder


def pairs_of(
    family: Family, prefix: int = PREFIX, document: int = DOCUMENT, documents: int = DOCUMENTS
) -> tuple[list[Pair], str]:
    """Return a family's pairs and what they are: real texts for encoders, random words for decoders.

    The words are one token each, so that a decoder's prompts and documents have exactly these tokens. There
    are more queries than the model keeps prefixes of: none is known yet when its turn comes again.
    """
    if family.layout != "decoder":
        texts, source = pairs(200)
        return texts, source
    chance = random.Random(0)  # noqa: S311 nothing secret
    vocabulary = json.loads((BUILTIN / "tokenizer.json").read_bytes())["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    around = len(_BEFORE) + 3  # `: … document :`, which is the same for all documents
    after = 2  # `answer :`

    def text(length: int) -> str:
        return " ".join(chance.choice(words) for _ in range(max(1, length)))

    made = []
    for _ in range(CACHED_TOKENS // prefix + 1):
        query = text(prefix - around)
        made += [(query, text(document - after)) for _ in range(documents)]
    return made, f"prefix {prefix}, {documents} documents of {document}"
