"""Folders that hold what a test says of them, and no weights."""

import json
import struct
from pathlib import Path
from typing import Any


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Write files into a folder: texts as they are, everything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def write_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write a safetensors file of zeros that takes no space: a header and a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + end)


VOCABULARY = {"yes": 9693, "no": 2152, "1": 16, "0": 15, "Yes": 9454}


def tokenizer(**vocabulary: int) -> dict[str, Any]:
    """Return as much of a tokenizer.json as has token ids: those of Qwen's words, or others."""
    return {"truncation": None, "model": {"vocab": vocabulary or VOCABULARY}, "added_tokens": []}


CAUSAL = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 64,
    "max_position_embeddings": 40_960,
}
"""An ordinary language model's config."""

ENCODER = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 64,
    "max_position_embeddings": 512,
    "id2label": {"0": "LABEL_0"},
}
"""A plain cross-encoder's config."""

CHAT = (
    '{% for m in messages %}{% if m["role"] == "system" %}<Instruct>: {{ m["content"] }}\n'
    '{% elif m["role"] == "query" %}<Query>: {{ m["content"] }}\n'
    '{% elif m["role"] == "document" %}<Document>: {{ m["content"] }}{% endif %}{% endfor %}'
)
"""A chat template with the three roles."""


def changed(folder: Path, name: str, **fields: Any) -> Path:
    """Change fields of a JSON file; None takes them away."""
    said = {**json.loads((folder / name).read_text()), **fields}
    return write(folder, {name: {key: value for key, value in said.items() if value is not None}})
