"""Folders whose modules.json says how they score, and what becomes of them; no weights."""

from pathlib import Path
from typing import Any

import pytest
from models.folders import CAUSAL, CHAT, ENCODER, tokenizer, write

from podium.errors import PermanentStartError, Reason
from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.recipe import Recipe

BASE = "sentence_transformers.base.modules"
SETTINGS = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None}
BACKBONE = {**ENCODER, "architectures": ["ModernBertModel"], "model_type": "modernbert"}
HIDDEN = BACKBONE["hidden_size"]
POOLING = {"embedding_dimension": HIDDEN, "pooling_mode": "cls"}
FIRST = {
    "in_features": HIDDEN,
    "out_features": HIDDEN,
    "bias": False,
    "activation_function": "torch.nn.modules.activation.GELU",
}
LAST = {
    "in_features": HIDDEN,
    "out_features": 1,
    "activation_function": "torch.nn.modules.linear.Identity",
    "module_output_name": "scores",
}


def layout(*modules: tuple[str, dict[str, Any]], **files: Any) -> dict[str, Any]:
    """Return the files of a folder: modules after a Transformer, by the last part of their type."""
    entries, contents = [], {}
    for number, (kind, config) in enumerate((("Transformer", {}), *modules)):
        path = f"{number}_{kind.rpartition('.')[2]}" if number else ""
        where = kind if "." in kind else f"{BASE}.{kind.lower()}.{kind}"
        entries.append({"idx": number, "name": str(number), "path": path, "type": where})
        if path:
            contents[f"{path}/config.json"] = config
    return {
        "config.json": BACKBONE,
        "modules.json": entries,
        "config_sentence_transformers.json": SETTINGS,
        "sentence_bert_config.json": {"transformer_task": "feature-extraction"},
        "tokenizer.json": tokenizer(),
        **contents,
        **files,
    }


ETTIN = (("Pooling", POOLING), ("Dense", FIRST), ("LayerNorm", {"dimension": HIDDEN}), ("Dense", LAST))
CLASSIFIER = {
    "config.json": ENCODER,
    "sentence_bert_config.json": {"transformer_task": "sequence-classification"},
}
MESSAGES = {"message": {"method": "forward", "method_output_name": "logits", "format": "flat"}}
GENERATION = {
    "config.json": CAUSAL,
    "chat_template.jinja": CHAT,
    "sentence_bert_config.json": {
        "transformer_task": "text-generation",
        "modality_config": MESSAGES,
        "module_output_name": "causal_logits",
    },
}
SCORE = ("LogitScore", {"true_token_id": 9693, "false_token_id": 2152})


def made(folder: Path, files: dict[str, Any]) -> Recipe:
    """Return the recipe of a folder with these files."""
    return recipe_of(read(write(folder, files)))


def refusal(folder: Path, files: dict[str, Any]) -> str:
    """Return why a folder with these files is refused."""
    with pytest.raises(PermanentStartError) as caught:
        made(folder, files)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    return caught.value.message


SENTENCE = "sentence_bert_config.json"
TASK = {"transformer_task": "sequence-classification"}
