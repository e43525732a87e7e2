"""Encoders that their vendors keep in a form of their own score as the vendors' code, written anew."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models.oracle import LONG, PAIRS, assert_equal, loaded, save, scored, unigram_tokenizer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class New(nn.Module):
    """Alibaba-NLP/new-impl, modeling.py: the `new` encoder, one pair at a time."""

    def __init__(self, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        super().__init__()
        self.w, self.config = tensors, config

    def linear(self, x: Tensor, name: str) -> Tensor:
        return nn.functional.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, x: Tensor, name: str) -> Tensor:
        eps = self.config["layer_norm_eps"]
        return nn.functional.layer_norm(
            x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps
        )

    def rotary(self, length: int) -> tuple[Tensor, Tensor]:
        """NTKScalingRotaryEmbedding with mixed_b None: another base, and all frequencies divided (6)."""
        head = self.config["hidden_size"] // self.config["num_attention_heads"]
        factor = self.config["rope_scaling"]["factor"]
        base = self.config["rope_theta"] * factor
        frequencies = 1.0 / (base ** (torch.arange(0, head, 2).float() / head))
        frequencies = frequencies / factor ** (2 / head)
        angles = torch.outer(torch.arange(length).float(), frequencies)
        both = torch.cat((angles, angles), -1)
        return both.cos(), both.sin()

    def forward(self, ids: Tensor) -> Tensor:
        """(t,) ids → one logit."""
        heads, hidden = self.config["num_attention_heads"], self.config["hidden_size"]
        x = self.w["new.embeddings.word_embeddings.weight"][ids]
        x = x + self.w["new.embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "new.embeddings.LayerNorm")
        cos, sin = self.rotary(len(ids))

        def rotated(v: Tensor) -> Tensor:
            first, second = v.chunk(2, -1)
            return v * cos + torch.cat((-second, first), -1) * sin

        for number in range(self.config["num_hidden_layers"]):
            layer = f"new.encoder.layer.{number}"
            q, k, v = (
                part.view(len(ids), heads, hidden // heads).transpose(0, 1)
                for part in self.linear(x, f"{layer}.attention.qkv_proj").split(hidden, -1)
            )
            weights = (rotated(q) @ rotated(k).transpose(1, 2) / (hidden // heads) ** 0.5).softmax(-1)
            states = (weights @ v).transpose(0, 1).reshape(len(ids), hidden)
            x = self.norm(x + self.linear(states, f"{layer}.attention.o_proj"), f"{layer}.attn_ln")
            up, gate = self.linear(x, f"{layer}.mlp.up_gate_proj").chunk(2, -1)
            x = self.norm(
                x + self.linear(nn.functional.gelu(gate) * up, f"{layer}.mlp.down_proj"), f"{layer}.mlp_ln"
            )
        return self.linear(self.linear(x[0], "new.pooler.dense").tanh(), "classifier")[0]


def test_gte_multilingual_is_read_as_its_vendor_s_new(tmp_path):
    tokenizer = unigram_tokenizer()
    hidden, inner, layers = 64, 96, 3
    config = {
        "architectures": ["NewForSequenceClassification"],
        "model_type": "new",
        "auto_map": {"AutoModelForSequenceClassification": "Alibaba-NLP/new-impl--modeling.New"},
        "hidden_size": hidden,
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 8192,
        "rope_theta": 20_000,
        "rope_scaling": {"type": "ntk", "factor": 8.0},
        "pack_qkv": True,
        "type_vocab_size": 1,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": {"0": "LABEL_0"},
    }
    shapes: dict[str, tuple[int, ...]] = {
        "new.embeddings.word_embeddings.weight": (len(tokenizer), hidden),
        "new.embeddings.token_type_embeddings.weight": (1, hidden),
        "new.pooler.dense.weight": (hidden, hidden),
        "new.pooler.dense.bias": (hidden,),
        "classifier.weight": (1, hidden),
        "classifier.bias": (1,),
    }
    norms = ["new.embeddings.LayerNorm"]
    for layer in (f"new.encoder.layer.{number}" for number in range(layers)):
        norms += [f"{layer}.attn_ln", f"{layer}.mlp_ln"]
        shapes |= {
            f"{layer}.attention.qkv_proj.weight": (3 * hidden, hidden),
            f"{layer}.attention.qkv_proj.bias": (3 * hidden,),
            f"{layer}.attention.o_proj.weight": (hidden, hidden),
            f"{layer}.attention.o_proj.bias": (hidden,),
            f"{layer}.mlp.up_gate_proj.weight": (2 * inner, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, inner),
            f"{layer}.mlp.down_proj.bias": (hidden,),
        }
    torch.manual_seed(23)
    tensors = {name: torch.randn(shape) * 0.15 for name, shape in shapes.items()}
    for name in norms:
        tensors |= {
            f"{name}.weight": 1 + torch.randn(hidden) * 0.1,
            f"{name}.bias": torch.randn(hidden) * 0.1,
        }
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(tmp_path)
    model = loaded(tmp_path)
    assert (model.info.family, model.info.architecture) == (
        "gte-multilingual",
        "GteForSequenceClassification",
    )
    network = New(tensors, config)
    wanted = [float(network(torch.tensor(tokenizer([pair])["input_ids"][0]))) for pair in PAIRS + LONG]
    assert_equal(scored(model, PAIRS + LONG), np.array(wanted, np.float32))


JINA = {
    "encoder.layer.": "encoder.layers.",
    ".attention.output.dense.": ".mixer.out_proj.",
    ".attention.output.LayerNorm.": ".norm1.",
    ".intermediate.dense.": ".mlp.fc1.",
    ".output.dense.": ".mlp.fc2.",
    ".output.LayerNorm.": ".norm2.",
    "embeddings.LayerNorm.": "emb_ln.",
}


def test_jina_v2_is_xlm_roberta_under_other_names(tmp_path):
    original = save(
        tmp_path / "original", "classifier", unigram_tokenizer(), model_type="xlm-roberta", type_vocab_size=1,
        max_position_embeddings=1026,
    )  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for name, value in load_file(original / "model.safetensors").items():
        for old, new in JINA.items():
            name = name.replace(old, new)
        tensors[name] = value
    for layer in range(3):
        for kind in ("weight", "bias"):
            parts = [
                tensors.pop(f"roberta.encoder.layers.{layer}.attention.self.{part}.{kind}")
                for part in ("query", "key", "value")
            ]
            tensors[f"roberta.encoder.layers.{layer}.mixer.Wqkv.{kind}"] = torch.cat(parts)
    folder = Path(shutil.copytree(original, tmp_path / "model"))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model = loaded(folder)
    assert model.info.family == "jina-reranker-v2"
    network = AutoModelForSequenceClassification.from_pretrained(original).eval()
    tokenizer = AutoTokenizer.from_pretrained(original)
    with torch.inference_mode():
        wanted = [
            float(network(**tokenizer([pair], return_tensors="pt", return_token_type_ids=False)).logits[0, 0])
            for pair in PAIRS
        ]
    assert_equal(scored(model, PAIRS), np.array(wanted, np.float32))
