"""Models of true shapes with random weights, for measurements where no hub can be reached."""

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
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)
