"""Small models with random weights in folders, and what becomes of such a folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from podium.errors import PermanentStartError, Reason
from podium.models.network.weights import build
from podium.models.recipe import Recipe

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 2000,
    "initializer_range": 0.1,
    "pad_token_id": 1,
}
DECODER = {**SMALL, "model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 16}


def recipe(**fields) -> Recipe:
    return Recipe(family="test", recognised_by="the test", **fields)


def built(folder: Path, dtype: torch.dtype = torch.float32, *, allow_pickle: bool = False, **fields):
    return build(folder, recipe(**fields), dtype=dtype, device=CPU, allow_pickle=allow_pickle)


def saved(folder: Path, auto: Any, **config) -> Any:
    """Save a small random model of transformers' own, every parameter random, and return it."""
    torch.manual_seed(3)
    model = auto.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()
    for parameter in model.parameters():  # biases and norms too: one that is not read would not show
        parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    return model


def rewritten(folder: Path, change) -> None:
    """Change the tensors of a folder's one file."""
    file = folder / "model.safetensors"
    save_file({name: x.contiguous() for name, x in change(load_file(file)).items()}, file, {"format": "pt"})


def refusal(folder: Path, **options) -> str:
    with pytest.raises(PermanentStartError) as caught:
        built(folder, **options)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    return caught.value.message
