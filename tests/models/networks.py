"""Models of the true shapes with random weights, pairs of random tokens, and transformers' own answer."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

import podium
from podium.models import architectures
from podium.models.base import Encoding
from podium.models.network.heads import make_head
from podium.models.network.packed import PackedForward
from podium.models.network.padded import PaddedForward
from podium.models.recipe import Recipe

BUILTIN = Path(podium.__file__).parent / "builtin"

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = pytest.param("cuda", marks=needs_cuda)

VOCABULARY = 2_000
"""Cut from up to 250,002: an embedding's row does not know how many others there are."""

# as in the models' own config.json, where transformers' defaults differ
_XLM_R = {"model_type": "xlm-roberta", "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}
SHAPES: dict[str, dict[str, Any]] = {
    "ms-marco-MiniLM-L6-v2": {
        "model_type": "bert",
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "intermediate_size": 1536,
    },
    "podium-tiny": {
        "model_type": "electra",
        "hidden_size": 384,
        "embedding_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "bge-reranker-base": {**_XLM_R, "max_position_embeddings": 514},
    "bge-reranker-v2-m3": {
        **_XLM_R,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "max_position_embeddings": 8194,
    },
    "mxbai-rerank-xsmall-v1": {
        "model_type": "deberta-v2",
        "hidden_size": 384,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "pooler_hidden_size": 384,
        "pooler_hidden_act": "gelu",
        "pooler_dropout": 0,
    },
    "gte-reranker-modernbert-base": {
        "model_type": "modernbert",
        "classifier_pooling": "mean",
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
    },
}

_SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_SMALL, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 16384}
DECODERS: dict[str, dict[str, Any]] = {
    "qwen3": {"model_type": "qwen3", **_GROUPED},
    "qwen2": {"model_type": "qwen2", **_GROUPED},
    "qwen2 with windows": {
        "model_type": "qwen2",
        **_GROUPED,
        "use_sliding_window": True,
        "sliding_window": 30,
        "max_window_layers": 1,
    },
    "llama": {"model_type": "llama", **_GROUPED},
    "mistral": {"model_type": "mistral", **_GROUPED, "sliding_window": 30},
    "gemma": {"model_type": "gemma", **_GROUPED},
    "gemma2": {"model_type": "gemma2", **_GROUPED, "sliding_window": 30, "query_pre_attn_scalar": 16},
    "gpt2": {"model_type": "gpt2", **_SMALL, "n_positions": 1024},
}
"""Small models of the true architectures; windows are short, so that pairs reach past them."""


def network(shape: str, **changes: Any) -> Any:
    """Build a model with random weights, the same ones each time.

    They are drawn so wide (0.1) that a leak of one neighbour's token moves the logit by far more than 1e-4.
    """
    return build({**SHAPES[shape], **changes})


def build(fields: dict[str, Any]) -> Any:
    """Build a model of any config likewise."""
    config = AutoConfig.for_model(
        **{"vocab_size": VOCABULARY, "initializer_range": 0.1, "num_labels": 1, **fields}
    )
    torch.manual_seed(20)
    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()


def packed(
    model: Any, device: str = "cpu", dtype: torch.dtype = torch.float32, **fields: Any
) -> PackedForward:
    """Take a model over into the packed forward; it is of no other use afterwards.

    `fields` are those of the recipe, by default the state that the model's own head reads.
    """
    return PackedForward(*parts(model, dtype, **fields), torch.device(device), dtype)


def padded(model: Any, dtype: torch.dtype = torch.float32, **fields: Any) -> PaddedForward:
    """Take a model over into the padded forward likewise."""
    return PaddedForward(*parts(model, dtype, **fields), torch.device("cpu"), dtype)


def parts(model: Any, dtype: torch.dtype, **fields: Any) -> tuple[Any, nn.Module, Recipe]:
    """Return a model whose base is cast to `dtype`, its head and its recipe."""
    state = "mean" if getattr(model.config, "classifier_pooling", None) == "mean" else "first"
    segments = architectures.has_segments(model, told=False)  # there is no tokenizer that would make any
    recipe = Recipe(**{"family": "x", "recognised_by": "x", "state": state, "segments": segments, **fields})
    head = make_head(recipe, SimpleNamespace(network=model))
    pooler = getattr(model.base_model, "pooler", None)
    kept = set() if pooler is None else set(pooler.parameters())
    for parameter in set(model.base_model.parameters()) - kept:
        parameter.data = parameter.data.to(dtype)
    return model, head, recipe


def encodings(lengths: Sequence[int], seed: int = 7) -> list[Encoding]:
    """Return pairs of random tokens: no two neighbours are alike, so a shift or a leak shows."""
    random = np.random.default_rng(seed)
    return [
        Encoding(
            ids=random.permutation(np.arange(5, VOCABULARY))[:length].astype(np.int32)
            if length < VOCABULARY - 5
            else random.integers(5, VOCABULARY, length, dtype=np.int32),
            second=int(random.integers(1, length + 1)),
            cut=False,
            needed=length,
        )
        for length in lengths
    ]


def prefixed(lengths: Sequence[int], shared: int, seed: int = 7) -> list[Encoding]:
    """Return pairs of random tokens, those of `lengths` behind the same `shared` ones."""
    random = np.random.default_rng(seed)
    prefix = random.integers(5, VOCABULARY, shared, dtype=np.int32)
    pairs = []
    for length in lengths:
        ids = np.concatenate((prefix, random.integers(5, VOCABULARY, length, dtype=np.int32)))
        pairs.append(Encoding(ids=ids, second=len(ids), cut=False, needed=len(ids), shared=shared))
    return pairs


@torch.inference_mode()
def states(base: Any, pairs: Sequence[Encoding], state: str) -> torch.Tensor:
    """Return the state that is read of each pair, (n, h), by transformers' own padded forward."""
    width = max(len(pair.ids) for pair in pairs)
    ids = torch.full((len(pairs), width), base.config.get_text_config().pad_token_id)
    lengths = torch.tensor([len(pair.ids) for pair in pairs])
    mask = (torch.arange(width) < lengths[:, None]).long()
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.ids)] = torch.from_numpy(pair.ids)
    found = base(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    match state:
        case "first":
            return found[:, 0]
        case "last":
            return found[torch.arange(len(pairs)), lengths - 1]
        case _:
            return (found * mask[..., None]).sum(1) / lengths[:, None]


@torch.inference_mode()
def reference(model: Any, pairs: Sequence[Encoding]) -> np.ndarray:
    """Return the logits of transformers' own forward, padded, without anything of Podium."""
    width = max(len(pair.ids) for pair in pairs)
    shape = len(pairs), width
    ids = torch.full(shape, model.config.get_text_config().pad_token_id)
    types, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.ids)] = torch.from_numpy(pair.ids)
        types[row, pair.second : len(pair.ids)] = 1
        mask[row, : len(pair.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if architectures.has_segments(model, told=False):
        inputs["token_type_ids"] = types
    return model(**inputs).logits[:, 0].numpy()
