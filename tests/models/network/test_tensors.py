"""Files with weights are read, or refused in words that name the one that is missing, cut or not allowed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.network.saving import DECODER, SMALL, built, refusal, saved
from models.networks import BUILTIN
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from podium.models.folder import read


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small XLM-R classifier in float32."""
    saved(tmp_path, AutoModelForSequenceClassification, model_type="xlm-roberta", num_labels=1, **SMALL)
    return tmp_path


@pytest.fixture
def sharded(tmp_path) -> Path:
    """A decoder in several files."""
    model = saved(tmp_path, AutoModelForSequenceClassification, **DECODER, num_labels=1)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="150KB")
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    return tmp_path


def test_shards_are_read_one_and_all(sharded):
    assert built(sharded).network.score.weight.shape == (1, 64)


def test_a_shard_that_is_missing_is_named(sharded):
    (sharded / "model-00002-of-00003.safetensors").unlink()
    assert refusal(sharded) == (
        f"`{sharded}` lacks 1 of the 3 files that `model.safetensors.index.json` names: "
        "model-00002-of-00003.safetensors; fetch the model again"
    )


@pytest.mark.parametrize("kept", [0, 7, 5000], ids=["empty", "no header", "cut"])
def test_a_shard_that_is_cut_is_named(sharded, kept):
    shard = sharded / "model-00002-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:kept])
    assert "cannot be loaded: `model-00002-of-00003.safetensors` is damaged or cut (" in refusal(sharded)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_named(sharded, text):
    (sharded / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json` cannot be read (" in refusal(sharded)


def test_no_weights_at_all_are_told(tmp_path):
    shutil.copy(BUILTIN / "config.json", tmp_path)
    assert refusal(tmp_path) == f"`{tmp_path}` holds no weights: neither *.safetensors nor *.bin"


def test_a_file_of_another_name_is_read_where_it_is_the_only_one(folder):
    (folder / "model.safetensors").rename(folder / "reranker.safetensors")
    assert built(folder).network is not None
    assert "classifier.dense.weight" in read(folder).tensors


@pytest.mark.parametrize("beside", ["other.safetensors", "pytorch_model.bin"])
def test_of_several_files_with_weights_none_is_chosen(folder, beside):
    (folder / "model.safetensors").rename(folder / "reranker.safetensors")
    shutil.copy(folder / "reranker.safetensors", folder / beside)
    told = ", ".join(sorted(["reranker.safetensors", beside]))
    assert refusal(folder, allow_pickle=True) == (
        f"`{folder}` holds {told}, and nothing says which is the model; name its file model.safetensors or "
        "pytorch_model.bin, or take the others away"
    )
    assert read(folder).tensors == {}


@pytest.mark.parametrize("shards", [1, 2])
def test_pickles_are_read_only_where_they_are_allowed(folder, shards):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {
        f"pytorch_model-{n}.bin" if shards > 1 else "pytorch_model.bin": names[n::shards]
        for n in range(shards)
    }
    for file, held in parts.items():
        torch.save({name: tensors[name] for name in held}, folder / file)
    if shards > 1:
        where = {name: file for file, held in parts.items() for name in held}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    assert "holds pickled weights only, and a pickle can run code" in refusal(folder)
    network = built(folder, torch.bfloat16, allow_pickle=True).network
    assert torch.equal(network.classifier.dense.weight, tensors["classifier.dense.weight"])


def test_a_pickle_from_before_torch_1_6_is_read(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert built(folder, allow_pickle=True).network is not None


def test_a_pickle_that_would_run_code_is_refused_even_where_pickles_are_allowed(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    (folder / "model.safetensors").unlink()
    torch.save({"roberta.embeddings.word_embeddings.weight": Trap()}, folder / "pytorch_model.bin")
    assert "`pytorch_model.bin` is damaged or cut" in refusal(folder, allow_pickle=True)
    assert not (tmp_path / "sprung").exists()
