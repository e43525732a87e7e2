"""The models that are measured: the built-in one, and two true shapes with random weights."""

from pathlib import Path
from typing import Any, NamedTuple

import podium
from podium.bench import random_weights

BUILTIN = Path(podium.__file__).parent / "builtin"


class Shape(NamedTuple):
    """A model to measure; `config` is None for the built-in one."""

    name: str
    config: dict[str, Any] | None


CLIENTS = ((1, 10), (1, 100), (8, 100), (64, 10))
"""How many clients ask at once, and the documents of each request."""

# The tokenizer is the built-in model's throughout: its ids lie below each of these vocabularies.
SHAPES = (
    Shape("builtin", None),
    Shape(
        "MiniLM-L6",
        {
            "model_type": "bert",
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
        },
    ),
    Shape(
        "bge-reranker-base",
        {
            "model_type": "xlm-roberta",
            "vocab_size": 250_002,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
)


def folder_of(shape: Shape, under: Path) -> Path:
    """Return the folder of a model, written below `under` where it is one with random weights."""
    if shape.config is None:
        return BUILTIN
    folder = under / shape.name
    random_weights.save(shape.config, BUILTIN, folder)
    return folder
