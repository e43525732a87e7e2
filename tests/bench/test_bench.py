"""The benchmark's parts on small models of each measured shape; its figures are for `make bench`."""

from pathlib import Path

import pytest

from podium.bench import bare, random_weights, reference
from podium.bench.shapes import BUILTIN, SHAPES

PAIRS = [("what is a panda?", "a bear of China"), ("what is it?", "I like cats. " * 40)]


SMALL = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.config], ids=lambda shape: shape.name)
def test_each_shape_is_measured_in_the_usual_way_and_bare(shape, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(bare, "tokens_per_batch", lambda *_: 1000)  # on a busy machine a batch held one pair
    random_weights.save({**shape.config, **SMALL}, BUILTIN, tmp_path)
    usual = reference.measure(shape.name, tmp_path, PAIRS)
    assert usual.pairs_per_s > 0
    alone = bare.Bare(tmp_path, shape.name, "float32", PAIRS).window(0)
    assert (alone.way.model, alone.way.way) == (shape.name, "bare float32")
    assert alone.mean_tokens == (12 + 167) / 2
    assert alone.tokens_per_s == pytest.approx(alone.way.pairs_per_s * alone.mean_tokens)
    assert alone.way.share == pytest.approx(alone.way.pairs_per_s * alone.gflop_per_pair / alone.limit_gflops)


def test_a_window_tells_its_own_speed_beside_that_of_all_so_far(tmp_path: Path):
    random_weights.save({**SHAPES[1].config, **SMALL}, BUILTIN, tmp_path)
    alone = bare.Bare(tmp_path, "small", "float32", PAIRS)
    alone.window(0)
    alone._seconds += 1_000  # as if the first window had taken so long
    second = alone.window(0)
    assert second.way.pairs_per_s < 0.1
    assert second.tokens_per_s > 10


def test_a_model_apart_goes_on_from_window_to_window(tmp_path: Path):
    random_weights.save({**SHAPES[1].config, **SMALL}, BUILTIN, tmp_path)
    with bare.apart(tmp_path, "small", "float32", PAIRS) as window:
        first, second = window(0), window(0.1)
    assert first.mean_tokens == second.mean_tokens == (12 + 167) / 2
