"""The benchmark's parts on small models of each measured shape; its figures are for `make bench`."""

import importlib.util
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from podium.bench import bare, command, random_weights, reference
from podium.bench.results import Report
from podium.bench.shapes import BUILTIN, SHAPES, Shape
from podium.models import devices
from podium.models.load import load

PAIRS = [("what is a panda?", "a bear of China"), ("what is it?", "I like cats. " * 40)]


SMALL = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.config], ids=lambda shape: shape.name)
def test_each_shape_is_measured_in_the_usual_way_and_bare(shape, tmp_path: Path):
    random_weights.save({**shape.config, **SMALL}, BUILTIN, tmp_path)
    usual = reference.sentence_transformers(shape.name, tmp_path, PAIRS, 0)
    assert usual.pairs_per_s > 0
    assert usual.pairs == 2
    for dtype in ("float32", *(["int8"] if devices.computes_int8(torch.device("cpu")) else [])):
        alone = bare.Bare(tmp_path, shape.name, dtype, PAIRS).window(0)
        assert (alone.way.model, alone.way.way) == (shape.name, f"bare {dtype}")
        assert alone.mean_tokens == (12 + 167) / 2
        assert alone.tokens_per_s == pytest.approx(alone.way.pairs_per_s * alone.mean_tokens)
        work = alone.way.pairs_per_s * alone.gflop_per_pair
        assert alone.way.share == pytest.approx(work / alone.limit_gflops)


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


@pytest.fixture
def with_onnx_runtime():
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnxscript") is None:
        pytest.skip("ONNX Runtime is not installed: pip install -e '.[bench]'")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.config], ids=lambda shape: shape.name)
@pytest.mark.usefixtures("with_onnx_runtime")
def test_onnx_runtime_scores_what_podium_scores_and_keeps_its_export(shape, tmp_path, monkeypatch):
    random_weights.save({**shape.config, **SMALL}, BUILTIN, tmp_path / "model")
    exact, quantised = reference.export(tmp_path / "model", tmp_path)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(reference, "_timed", lambda *given: given[2](PAIRS[1:]))
    import onnxruntime

    run = onnxruntime.InferenceSession.run
    monkeypatch.setattr(
        onnxruntime.InferenceSession, "run", lambda *given: seen.append(run(*given)[0]) or [seen[-1]]
    )
    for file in (exact, quantised):
        reference.onnx_runtime(shape.name, file, tmp_path / "model", PAIRS, 0)
    model = load(tmp_path / "model", uri="x", dtype="float32")
    [logit] = model.score(bare.encode(model, PAIRS[1:]))
    assert seen[0].ravel() == pytest.approx([logit], abs=1e-4)
    assert seen[1].ravel() == pytest.approx([logit], abs=0.1)
    made = exact.stat().st_mtime_ns
    assert reference.export(tmp_path / "model", tmp_path)[0].stat().st_mtime_ns == made


def test_a_run_prints_rows_as_they_come_and_keeps_them_when_it_is_stopped(tmp_path, monkeypatch):
    small = Shape("small", {**SHAPES[1].config, **SMALL})
    monkeypatch.setattr(command, "SHAPES", (small,))
    monkeypatch.setattr(command, "FAMILIES", ())
    monkeypatch.setattr(reference, "installed", lambda package="": not package.startswith("onnx"))
    output = tmp_path / "report.json"
    ran = CliRunner().invoke(command.bench, ["--budget", "2s", "--json", str(output)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    report = msgspec.json.decode(output.read_bytes(), type=Report)
    ways = [way.way for way in report.ways]
    assert ways[0] == "Sentence Transformers float32"
    served = [f"HTTP, {n} client{'s' * (n > 1)} × {m} documents" for n, m in command.CLIENTS]
    assert ways[-len(served) :] == served
    assert ways[-len(served) - 1].startswith("bare ")
    if devices.computes_int8(torch.device("cpu")):
        [integers] = [way for way in report.ways if way.way == "bare int8"]
        assert integers.of_bare > 0
        assert integers.pairs >= command.TURNS
    assert all(way.pairs > 0 and way.pairs_per_s > 0 for way in report.ways)
    assert report.fairness[0].requests > 0
    assert "small: ONNX Runtime is not installed (pip install 'podium-rerank[bench]')" in report.left_out
    assert "small, Sentence Transformers float32: " in ran.stderr

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.bare, "apart", stopped)
    output.unlink()
    assert CliRunner().invoke(command.bench, ["--budget", "2s", "--json", str(output)]).exit_code != 0
    kept = msgspec.json.decode(output.read_bytes(), type=Report)
    assert kept.ways[0].way == "Sentence Transformers float32"


@pytest.mark.parametrize("said", ["8", "0m", "-1m", "soon", "8 m"])
def test_a_budget_that_is_no_duration_is_refused_by_its_words(said):
    ran = CliRunner().invoke(command.bench, ["--budget", said])
    assert ran.exit_code == 2
    assert f"`{said}` is no duration; write 90s, 8m or 1h" in ran.output
