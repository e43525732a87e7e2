"""Load and pack a decoder of zeros; print its size and the peak of the process's anonymous memory, in MB.

Arguments: an empty folder, the dtype in the file (F32, BF16, F16), the dtype that is served.
"""

import json
import struct
import sys
import threading
from pathlib import Path
from time import sleep

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from podium.models import devices
from podium.models.base import Encoding
from podium.models.network.heads import make_head
from podium.models.network.packed import PackedForward
from podium.models.network.weights import build
from podium.models.recipe import Recipe, Rows

CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "num_hidden_layers": 20,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 3072,
    "vocab_size": 10_000,
    "tie_word_embeddings": True,
}
BYTES = {"F32": 4, "BF16": 2, "F16": 2}


def write(folder: Path, stored: str) -> int:
    """Write the model, its tensors a hole in the file that reads as zeros; return its parameters."""
    config = AutoConfig.for_model(**CONFIG)
    with torch.device("meta"):
        parameters = AutoModel.from_config(config).state_dict()
    header, end = {}, 0
    for name, x in parameters.items():
        start, end = end, end + x.numel() * BYTES[stored]
        header[name] = {"dtype": stored, "shape": list(x.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + end)
    config.save_pretrained(folder)
    return sum(x.numel() for x in parameters.values())


class Peak(threading.Thread):
    """Reads the process's anonymous memory every few milliseconds."""

    peak_mb = 0.0

    def run(self) -> None:
        while threading.main_thread().is_alive():
            lines = Path("/proc/self/status").read_text().splitlines()
            now = int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024 / 1e6
            self.peak_mb = max(self.peak_mb, now)
            sleep(0.003)


def main(folder: Path, stored: str, served: str) -> None:
    devices.give_back_freed_memory()
    dtype = getattr(torch, served)
    parameters = write(folder, stored)
    peak = Peak(daemon=True)
    peak.start()
    cpu = torch.device("cpu")
    recipe = Recipe(
        family="test",
        recognised_by="the test",
        network="base",
        attention="causal",
        state="last",
        head=Rows(source="vocabulary", true=1, false=0),
    )
    built = build(folder, recipe, dtype=dtype, device=cpu)
    forward = PackedForward(built.network, make_head(recipe, built), recipe, cpu, dtype)
    if dtype == torch.int8:
        with torch.inference_mode():
            ids = np.arange(2000, dtype=np.int32)  # as many tokens as the text for calibration has
            pairs = [Encoding(ids[:length], length, False, length) for length in range(30, 150, 4)]
            forward.to_integers(pairs)
    sleep(0.1)
    embeddings = CONFIG["vocab_size"] * CONFIG["hidden_size"] * 3 if dtype == torch.int8 else 0
    served_mb = (parameters * dtype.itemsize + embeddings) / 1e6  # embeddings are never integers
    json.dump({"served_mb": served_mb, "peak_mb": peak.peak_mb}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
