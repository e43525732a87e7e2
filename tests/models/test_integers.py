"""The built-in model in 8-bit integers ranks as in float32."""

import json
import logging
import math
import random
import shutil

import numpy as np
import pytest
import torch
from models.networks import BUILTIN
from models.oracle import framed_tokenizer, save
from models.shared import unpacked
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from podium.errors import PermanentStartError
from podium.models import architectures, calibration, devices, linear
from podium.models import integers as integers_module
from podium.models.integers import check_memory
from podium.models.linear.int8 import largest_weight
from podium.models.linear.scales import NAME
from podium.models.load import load
from podium.models.readiness import self_test

pytestmark = pytest.mark.skipif(
    largest_weight() is None,
    reason="needs a processor on which oneDNN's products of 8-bit integers are exact",
)


QUESTIONS, CANDIDATES = 120, 10


@pytest.fixture(scope="module")
def integers():
    return load(BUILTIN, uri="builtin", dtype="int8")


@pytest.fixture(scope="module")
def floats():
    return load(BUILTIN, uri="builtin", dtype="float32")


def scores(model, pairs):
    queries = model.queries([query for query, _ in pairs])
    documents = model.documents([document for _, document in pairs])
    return model.score([model.pair(*texts) for texts in zip(queries, documents, strict=True)])


def texts(folder, name):
    """The texts of an open set by their ids, in the set's order."""
    return {each["_id"]: each["text"] for each in map(json.loads, (folder / name).read_bytes().splitlines())}


def ndcg(model, name, questions=QUESTIONS, candidates=CANDIDATES):
    """nDCG@10 of a model that finds the right document among those beside it, often of the same article."""
    folder = unpacked(f"data/{name}.tar.xz") / name
    queries, corpus = texts(folder, "queries.jsonl"), texts(folder, "corpus.jsonl")
    ids = list(corpus)
    places = {each: at for at, each in enumerate(ids)}
    right = [line.split("\t")[:2] for line in (folder / "qrels.tsv").read_text().splitlines()]
    gained = []
    for query, document in random.Random(0).sample(right, questions):
        first = min(max(places[document] - candidates // 2, 0), len(ids) - candidates)
        beside = ids[first : first + candidates]
        given = scores(model, [(queries[query], corpus[each]) for each in beside])
        rank = 1 + sum(given > given[beside.index(document)])
        gained.append(1 / math.log2(1 + rank) if rank <= 10 else 0)
    return sum(gained) / len(gained)


@pytest.mark.parametrize("name", ["xquad-en", "squad-dev-noxquad", "pubmedqa"])
def test_what_it_finds_is_what_float32_finds(integers, floats, name):
    assert abs(ndcg(integers, name) - ndcg(floats, name)) <= 0.005


def test_it_ranks_200_pairs_as_in_float32(integers, floats):
    folder = unpacked("data/xquad-en.tar.xz") / "xquad-en"
    chance = random.Random(0)
    queries, documents = (list(texts(folder, name).values()) for name in ("queries.jsonl", "corpus.jsonl"))
    pairs = [(chance.choice(queries), chance.choice(documents)) for _ in range(200)]
    assert spearmanr(scores(integers, pairs), scores(floats, pairs)).statistic >= 0.995


def test_it_says_its_dtype_and_takes_less_memory(integers, floats):
    assert integers.info.dtype == "int8"
    assert integers.info.notes == ()
    assert self_test(integers) is None
    # its embeddings, 15.6 MB of 38 in float32, stay what they are
    assert integers.info.weights_bytes < 0.75 * floats.info.weights_bytes


def test_the_log_says_how_long_the_scales_took(caplog):
    with caplog.at_level(logging.INFO, "podium.models.integers"):
        load(BUILTIN, uri="builtin", dtype="int8")
    assert "int8: the scales of 10 layers were taken from 39 pairs in " in caplog.text


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of the model with its scales beside it."""
    folder = tmp_path_factory.mktemp("kept") / "model"
    shutil.copytree(BUILTIN, folder)
    load(folder, uri="kept", dtype="int8", keep_scales=True)
    return folder


def test_a_model_with_its_scales_beside_it_scores_the_same_to_the_last_bit(
    kept, integers, monkeypatch, caplog
):
    def never(*_):
        raise AssertionError("the scales were taken anew")

    monkeypatch.setattr(linear.calibration, "calibrate", never)
    with caplog.at_level(logging.INFO, "podium.models.integers"):
        model = load(kept, uri="kept", dtype="int8")
    assert f"int8: the scales of 10 layers were read from {kept / NAME} in " in caplog.text
    assert model.info.dtype_from == f"PODIUM_DTYPE; scales are those of {NAME}"
    assert integers.info.dtype_from == "PODIUM_DTYPE; scales were taken at this start"
    pairs = [(query, document) for query, _ in calibration.pairs()[:6] for _, document in calibration.pairs()]
    assert np.array_equal(scores(model, pairs), scores(integers, pairs))


def test_scales_stay_where_the_model_is_served_in_floats_and_no_file_of_weights_they_are(kept):
    before = (kept / NAME).read_bytes()
    load(kept, uri="kept", dtype="float32")
    load(kept, uri="kept", dtype="int8", keep_scales=True)
    assert (kept / NAME).read_bytes() == before
    (kept / "model.safetensors").rename(kept / "other.safetensors")  # then all files of that kind are weights
    load(kept, uri="kept", dtype="int8")
    (kept / "other.safetensors").rename(kept / "model.safetensors")


@pytest.mark.parametrize("other", ["weights", "length", "config"])
def test_other_weights_and_other_settings_take_scales_of_their_own(kept, tmp_path, other, caplog):
    folder = tmp_path / "model"
    shutil.copytree(kept, folder)
    if other == "weights":
        tensors = load_file(folder / "model.safetensors")
        save_file({name: tensor * 0.99 for name, tensor in tensors.items()}, folder / "model.safetensors")
    if other == "config":
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**said, "layer_norm_eps": 1e-4}))
    with caplog.at_level(logging.INFO, "podium.models"):
        load(folder, uri="x", dtype="int8", max_length=64 if other == "length" else None)
    assert "is left aside: it was written for other weights, settings, or another version" in caplog.text
    assert "int8: the scales of 10 layers were taken from 39 pairs in " in caplog.text


def test_scales_that_cannot_be_written_are_told_of(kept, tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(linear.scales, "write", read_only)
    with pytest.raises(PermanentStartError, match=r"podium-int8` cannot be written: Read-only file system"):
        load(BUILTIN, uri="x", dtype="int8", keep_scales=True)


def test_a_container_whose_memory_is_too_small_is_told_before_it_is_used_up(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    check_memory(BUILTIN)
    (tmp_path / "memory.max").write_text(f"{1 << 29}\n")
    with pytest.raises(PermanentStartError) as caught:
        check_memory(BUILTIN)
    assert caught.value.message == "it needs some 1.1 GB of memory, and this container may use 0.5 GB"


def test_half_precision_needs_no_copy_but_gemma_does(tmp_path, monkeypatch):
    def needed(dtype, kind):
        tensors = {"a": torch.zeros(50_000, 1_000, dtype=dtype), "position_ids": torch.arange(4)}
        save_file(tensors, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(PermanentStartError) as caught:
            check_memory(tmp_path)
        return caught.value.message.partition(" of memory")[0]

    monkeypatch.setattr(integers_module, "_BESIDE_BYTES", 0)
    monkeypatch.setattr(devices, "memory_limit", lambda: 1)
    assert needed(torch.bfloat16, "qwen3") == "it needs some 0.1 GB"
    assert needed(torch.bfloat16, "gemma") == "it needs some 0.2 GB"
    assert needed(torch.float32, "qwen3") == "it needs some 0.2 GB"


def test_a_model_without_linear_layers_is_refused_with_that_reason(tmp_path):
    fields = {"n_embd": 64, "n_layer": 2, "n_head": 4}
    folder = save(tmp_path, "classifier", framed_tokenizer(), model_type="gpt2", **fields)
    with pytest.raises(PermanentStartError) as caught:
        load(folder, uri="x", dtype="int8")
    assert caught.value.message == (
        "dtype `int8` is for linear layers, of which this model has none that could be served in it; set "
        "PODIUM_DTYPE to float32 or to auto"
    )


def test_a_model_that_is_not_packed_is_refused_with_that_reason(monkeypatch):
    monkeypatch.setattr(architectures, "packable", lambda _: False)
    with pytest.raises(PermanentStartError) as caught:
        load(BUILTIN, uri="builtin", dtype="int8")
    assert caught.value.message == (
        "dtype `int8` is for models that are packed, and ElectraForSequenceClassification cannot be; set "
        "PODIUM_DTYPE to float32 or to auto"
    )
