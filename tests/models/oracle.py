"""Small models with random weights, saved as Sentence Transformers saves them, and what it scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.networks import BUILTIN
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from podium.errors import PermanentStartError, Reason
from podium.models.base import Model
from podium.models.load import load

Pairs = Sequence[tuple[str, str]]

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.1,
    "num_labels": 1,
}
"""Drawn so wide that one token more or less moves a logit by far more than 1e-4."""

DECODER = {**SMALL, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 4096}

_TEXTS = [
    "what is a panda",
    "The giant panda lives in China; it eats bamboo, leaves and stems, 12 to 38 kg a day.",
    "yes no Yes No 0 1 query document system user assistant",
    "Ünïcödé: 大熊猫 🐼 пáнда\n\n\tdef f(x): return {'a': [1, 2]}",
]
"""What tokenizers are trained on."""

PAIRS: list[tuple[str, str]] = [
    ("what is a panda", "a bear"),
    ("", ""),
    ("", "a bear"),
    ("panda", ""),
    ("大熊猫 🐼", "пáнда e\u0301 \u200d ﬁ ﷺ"),
    ("what is a panda?\n", "\n\n The giant panda lives in China. \t"),
    (" {{ query }} <b>&amp;</b> 'x' \"y\" ", "{% if %} a\\b \x00 \ufeff"),
    *(("where do pandas live", "bamboo " * n) for n in (7, 30, 61, 100)),
    ("Where? " * 12, "The giant panda lives in China; it eats bamboo. " * 3),
]
"""A grid of lengths, empty texts, Unicode, and what templates and pre-tokenizers stumble over."""
WORDS = [pair for pair in PAIRS if all(pair)]
"""Those with a word on both sides."""

LONG: list[tuple[str, str]] = [
    ("what is a panda", "The giant panda lives in China; it eats bamboo. " * 40),
    ("what is a panda", "12 to 38 kg a day, leaves and stems. " * 80),
]
"""Pairs whose document alone is cut."""


def bert_tokenizer() -> Any:
    """Return the built-in model's tokenizer: word pieces, token types."""
    return AutoTokenizer.from_pretrained(BUILTIN)


def bpe_tokenizer() -> Any:
    """Return a tokenizer of Qwen's kind: byte pairs, control and added tokens, nothing around texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*_TEXTS, *("yes", "no", "Yes") * 9] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.add_special_tokens(
        {
            "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "additional_special_tokens": ["<|im_start|>"],
        }
    )
    fast.add_tokens(["<think>", "</think>"])
    assert None not in fast.convert_tokens_to_ids(["yes", "no", "Yes", "1", "0"])
    return fast


def framed_tokenizer() -> Any:
    """Return a tokenizer of ModernBERT's kind: byte pairs, `[CLS] q [SEP] d [SEP]`."""
    fast = bpe_tokenizer()
    fast.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", fast.cls_token_id), ("[SEP]", fast.sep_token_id)],
    )
    return fast


def unigram_tokenizer() -> Any:
    """Return a tokenizer of XLM-RoBERTa's kind: unigram pieces, `<s> q </s></s> d </s>`."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
    )


TOKENIZERS = {
    "bert": bert_tokenizer,
    "bpe": bpe_tokenizer,
    "framed": framed_tokenizer,
    "unigram": unigram_tokenizer,
}

_CLASSES = {
    "classifier": AutoModelForSequenceClassification,
    "base": AutoModel,
    "causal": AutoModelForCausalLM,
}


def save(folder: Path, kind: str, tokenizer: Any, **fields: Any) -> Path:
    """Save a network with random weights and a tokenizer, as transformers does; the same ones each time.

    `kind`: classifier, base or causal; `fields`: of the config, `model_type` among them.
    """
    defaults = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(**{**SMALL, **defaults, **fields})
    torch.manual_seed(20)
    model = _CLASSES[kind].from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():  # biases and norms too: what is not read would not show
        parameter.data += torch.randn_like(parameter) * 0.05
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def expected(
    folder: Path, pairs: Pairs, instruction: str | None = None, *, batch_size: int = 32, **options: Any
) -> np.ndarray:
    """Return the logits of Sentence Transformers, (n,) float32."""
    model = CrossEncoder(str(folder), device="cpu", **options)
    logits: np.ndarray = model.predict(
        list(pairs), prompt=instruction, activation_fn=torch.nn.Identity(), batch_size=batch_size
    )
    return logits


def loaded(folder: Path, dtype: str = "float32", **options: Any) -> Model:
    """Load a folder on the CPU, as a start does that says nothing of it but `options`."""
    return load(folder, uri="a folder", device="cpu", dtype=dtype, **options)


def refusal(folder: Path, **options: Any) -> str:
    """Return the words with which a folder is not loaded."""
    with pytest.raises(PermanentStartError) as caught:
        loaded(folder, **options)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.MODEL_LOAD_FAILED, 42)
    return caught.value.message


def scored(model: Model, pairs: Pairs, instruction: str | None = None) -> np.ndarray:
    """Return Podium's logits, (n,) float32."""
    queries = model.queries([query for query, _ in pairs], instruction=instruction)
    documents = model.documents([document for _, document in pairs])
    return model.score([model.pair(q, d) for q, d in zip(queries, documents, strict=True)])


def assert_equal(got: np.ndarray, wanted: np.ndarray, bound: float = 1e-4) -> None:
    """Check logits to `bound`, of their spread where that is above 1, and their order."""
    assert got.shape == wanted.shape
    spread = max(1.0, float(np.ptp(wanted)))
    difference = np.abs(got - wanted)
    assert difference.max() <= bound * spread, (
        f"{difference.max():.2g} of {spread:.2g} at {difference.argmax()}"
    )
    clear = np.abs(np.subtract.outer(wanted, wanted)) > 2 * bound * spread
    assert (np.sign(np.subtract.outer(got, got)) == np.sign(np.subtract.outer(wanted, wanted)))[clear].all()
