"""The benchmark's parts on small models of each measured shape; its figures are for `make bench`."""

from pathlib import Path

import pytest

from podium.bench import bare, reference
from podium.bench.shapes import BUILTIN, SHAPES
from podium.models import random_weights
from podium.models.load import load

PAIRS = [("what is a panda?", "a bear of China"), ("what is it?", "I like cats. " * 40)]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.config], ids=lambda shape: shape.name)
def test_each_shape_is_measured_in_the_usual_way_and_bare(shape, tmp_path: Path):
    small = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    random_weights.save({**shape.config, **small}, BUILTIN, tmp_path)
    usual = reference.measure(shape.name, tmp_path, PAIRS)
    assert usual.pairs_per_s > 0
    model = load(tmp_path, uri=shape.name, dtype="float32")
    assert [len(encoding.ids) for encoding in bare.encode(model, PAIRS)] == [12, 167]
