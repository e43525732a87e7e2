"""What users run elsewhere, for comparison: Sentence Transformers' CrossEncoder with its defaults, and ONNX
Runtime, each in a process of its own.
"""

import hashlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from podium.bench.results import Way
from podium.bench.texts import Pair
from podium.models import devices
from podium.models.linear.int8 import largest_weight

BATCH = 32
"""Pairs of a batch, sorted by length: Sentence Transformers' default, and what ONNX Runtime is given, too."""

LONGEST = 512

Predict = Callable[[Sequence[Pair]], object]


def installed(package: str = "sentence_transformers") -> bool:
    """Whether a package of the extras `dev` and `bench` is there."""
    return importlib.util.find_spec(package) is not None


def sentence_transformers(name: str, folder: Path, pairs: Sequence[Pair], seconds: float) -> Way:
    """Return how fast Sentence Transformers scores pairs in float32, in about so many seconds."""
    from sentence_transformers import CrossEncoder

    # a checkpoint stored in half precision would be loaded so, and be slow
    encoder = CrossEncoder(str(folder), model_kwargs={"dtype": "float32"}, max_length=LONGEST)

    def predict(chosen: Sequence[Pair]) -> object:
        return encoder.predict(list(chosen), batch_size=BATCH, show_progress_bar=False)

    return _timed(name, "Sentence Transformers float32", predict, pairs, seconds)


def onnx_runtime(name: str, file: Path, folder: Path, pairs: Sequence[Pair], seconds: float) -> Way:
    """Return how fast ONNX Runtime scores pairs with an exported model, in about so many seconds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = devices.cores()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = [one.name for one in session.get_inputs()]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)

    def predict(chosen: Sequence[Pair]) -> object:
        encodings = sorted(tokenizer.encode_batch(list(chosen)), key=lambda one: len(one.ids))
        for start in range(0, len(encodings), BATCH):
            session.run(None, dict(zip(inputs, _padded(encodings[start : start + BATCH]), strict=False)))
        return None

    return _timed(name, f"ONNX Runtime {file.stem}", predict, pairs, seconds)


def export(folder: Path, cache: Path) -> tuple[Path, Path]:
    """Return a sequence classifier as ONNX in float32 and in dynamic int8, per channel; made where `cache`
    does not have them yet.

    Weights keep 7 bits where the processor saturates in 8 (no VNNI), as ONNX Runtime's documents ask for.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    reduced = largest_weight() != 127
    weights = (folder / "model.safetensors").stat()
    said = f"{(folder / 'config.json').read_text()} {weights.st_size} {torch.__version__} {reduced}"
    home = cache / "bench" / hashlib.sha256(said.encode()).hexdigest()[:16]
    exact, quantised = home / "float32.onnx", home / "int8.onnx"
    with _quietly():
        if not exact.exists():
            home.mkdir(parents=True, exist_ok=True)
            _export(folder, home / "half.onnx")
            os.replace(home / "half.onnx", exact)
        if not quantised.exists():
            quantize_dynamic(
                exact,
                home / "half.onnx",
                per_channel=True,
                reduce_range=reduced,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            os.replace(home / "half.onnx", quantised)
    return exact, quantised


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporters' advice out of the table: of torchvision, of axes' names, of pre-processing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(folder: Path, file: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()
    names = ["input_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=2, max=LONGEST)
    torch.onnx.export(
        model,
        (),
        str(file),
        kwargs={name: torch.ones(2, 16, dtype=torch.int64) for name in names},
        input_names=names,
        dynamic_shapes={name: {0: batch, 1: length} for name in names},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _padded(encodings: Sequence[Any]) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """Yield input_ids, attention_mask and token_type_ids of a batch, each padded to its longest pair."""
    longest = max(len(one.ids) for one in encodings)
    for part in ("ids", "attention_mask", "type_ids"):
        rows = np.zeros((len(encodings), longest), np.int64)
        for row, encoding in zip(rows, encodings, strict=True):
            row[: len(encoding.ids)] = getattr(encoding, part)
        yield rows


def _timed(name: str, way: str, predict: Predict, pairs: Sequence[Pair], seconds: float) -> Way:
    """Score as many pairs as fit into about so many seconds, all of them again and again where they do."""
    predict(pairs[:6])
    start = perf_counter()
    predict(pairs[:6])
    rate = 6 / (perf_counter() - start)
    # lengths go round in threes; a few pairs at a time would be sorted into worse batches
    chosen = pairs[: max(6, min(len(pairs), int(rate * seconds)) // 3 * 3)]
    scored, start = 0, perf_counter()
    while scored == 0 or perf_counter() - start < seconds:
        predict(chosen)
        scored += len(chosen)
    return Way(model=name, way=way, pairs=scored, pairs_per_s=scored / (perf_counter() - start))
