"""Models of true shapes with random weights, for measurements where no hub can be reached."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

LONGEST = 8192
"""Tokens that the tokenizer's files allow, so that the model alone says how many there may be."""


def save(
    config: dict[str, Any], tokenizer: Path, folder: Path, auto: Any = AutoModelForSequenceClassification
) -> None:
    """Write a model of this config into `folder`, with the tokenizer that lies in another folder.

    `auto` is the class of transformers that makes it. The weights are stored in bfloat16, which halves the
    disk that the largest of them takes.
    """
    built = AutoConfig.for_model(**config, num_labels=1)
    torch.manual_seed(0)
    model = auto.from_config(built, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer.json", folder)
    settings = json.loads((tokenizer / "tokenizer_config.json").read_bytes())
    if getattr(built, "type_vocab_size", 0) < 2:
        # a tokenizer that numbers segments would index out of the embeddings
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    settings["model_max_length"] = min(LONGEST, built.max_position_embeddings)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def save_modular(config: dict[str, Any], tokenizer: Path, base: Path, folder: Path) -> None:
    """Write a base model of this config into `base`, and into `folder` the same with the modules Pooling,
    Dense, LayerNorm and Dense, as Sentence Transformers saves a reranker.

    Raises ImportError where that, a development dependency, is not installed.
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    save(config, tokenizer, base, AutoModel)
    h = config["hidden_size"]
    modules = [
        Transformer(str(base), model_kwargs={"dtype": torch.bfloat16}),
        Pooling(h, "cls"),
        Dense(h, h, bias=False, activation_function=torch.nn.GELU()),
        LayerNorm(h),
        Dense(h, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    CrossEncoder(modules=modules, device="cpu").save_pretrained(str(folder))
