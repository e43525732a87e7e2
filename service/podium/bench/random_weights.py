"""Models of true shapes with random weights, for measurements where no hub can be reached."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification


def save(config: dict[str, Any], tokenizer: Path, folder: Path) -> None:
    """Write a model of this config into `folder`, with the tokenizer that lies in another folder.

    The weights are stored in bfloat16, which halves the disk that the largest of them takes.
    """
    built = AutoConfig.for_model(**config, num_labels=1)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(built, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer.json", folder)
    settings = json.loads((tokenizer / "tokenizer_config.json").read_bytes())
    if built.type_vocab_size < 2:  # a tokenizer that numbers segments would index out of the embeddings
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
