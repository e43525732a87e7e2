"""Configs of the families, as short as recognition lets them be, and the recipes of folders with them."""

from pathlib import Path
from typing import Any

import pytest
from models.folders import CAUSAL, tokenizer, write

from podium.errors import PermanentStartError, Reason
from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.recipe import Recipe

BINARY = {"id2label": {"0": "0", "1": "1"}}
BOTH_WAYS = {"use_bidirectional_attention": True}
QWEN3 = {**CAUSAL, "vocab_size": 151_669}
QWEN3_CONVERTED = {**QWEN3, "architectures": ["Qwen3ForSequenceClassification"]}
QWEN2 = {**CAUSAL, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
QWEN2_CONVERTED = {**QWEN2, "architectures": ["Qwen2ForSequenceClassification"]}
GEMMA = {"architectures": ["GemmaForCausalLM"], "model_type": "gemma", "vocab_size": 256_000}
NEMOTRON = {
    "architectures": ["LlamaBidirectionalForSequenceClassification"],
    "model_type": "llama_bidirec",
    "pooling": "avg",
    "temperature": 1.0,
    "id2label": {"0": "LABEL_0"},
}
NEMOTRON_VL = {
    "architectures": ["LlamaNemotronVLForSequenceClassification"],
    "model_type": "llama_nemotron_vl_rerank",
    "llm_config": {"model_type": "llama_bidirec", "hidden_size": 2048, "num_hidden_layers": 16},
    "temperature": 2.0,
    "id2label": {"0": "LABEL_0"},
}
GTE = {
    "architectures": ["NewForSequenceClassification"],
    "model_type": "new",
    "hidden_size": 768,
    "num_attention_heads": 12,
    "rope_theta": 20_000,
    "rope_scaling": {"type": "ntk", "factor": 8.0},
    "id2label": {"0": "LABEL_0"},
}
JINA = {
    "architectures": ["XLMRobertaForSequenceClassification"],
    "auto_map": {"AutoModelForSequenceClassification": "modeling_xlm_roberta.XLMRoberta"},
    "use_flash_attn": True,
    "num_labels": 1,
}
ZERANK_1 = "zeroentropy/zerank-1-reranker"
ZERANK, CTXL = "zeroentropy/zerank-2", "ContextualAI/ctxl-rerank-v2-instruct-multilingual-2b"


def made(
    folder: Path, config: dict[str, Any], *, name: str = "", family: str = "auto", **files: Any
) -> Recipe:
    """Return the recipe of a folder with this config and these files."""
    write(folder, {"config.json": config, "tokenizer.json": tokenizer(), **files})
    return recipe_of(read(folder), family, name)


def refusal(folder: Path, config: dict[str, Any], **options: Any) -> str:
    """Return why a folder with this config is refused."""
    with pytest.raises(PermanentStartError) as caught:
        made(folder, config, **options)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    return caught.value.message
