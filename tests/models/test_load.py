"""A folder becomes a model, or a sentence that says what to do about it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.folders import write
from models.networks import BUILTIN, network
from models.oracle import PAIRS, assert_equal, bert_tokenizer, expected, framed_tokenizer, save, scored
from safetensors.torch import load_file, save_file

from podium.errors import PermanentStartError, Reason
from podium.models.load import load


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the built-in model that a test may spoil."""
    return Path(shutil.copytree(BUILTIN, tmp_path / "model"))


def configure(folder: Path, **fields) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def tokenizer_config(folder: Path) -> dict:
    return json.loads((folder / "tokenizer_config.json").read_text())


def refusal(folder: Path, **options) -> str:
    with pytest.raises(PermanentStartError) as caught:
        load(folder, uri="x", **options)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    assert caught.value.exit_code == 42
    return caught.value.message


def test_what_was_loaded_is_told():
    info = load(BUILTIN, uri="builtin", revision="r1", device="cpu", dtype="float32", max_length=128).info
    assert (info.uri, info.revision, info.device, info.dtype) == ("builtin", "r1", "cpu", "float32")
    assert (info.architecture, info.label) == ("ElectraForSequenceClassification", "RELEVANCE")
    assert (info.forward, info.max_length, info.special_tokens) == ("packed", 128, 3)


def test_the_length_is_the_model_s_own_unless_it_is_set():
    assert load(BUILTIN, uri="builtin").info.max_length == 512


def test_the_length_is_the_smallest_of_setting_files_and_positions_and_says_which(folder):
    def length(**options):
        info = load(folder, uri="x", **options).info
        return info.max_length, info.max_length_from

    assert length(max_length=128) == (128, "PODIUM_MAX_LENGTH")
    assert length(max_length=10_000) == (512, "tokenizer_config.json: model_max_length")
    write(folder, {"tokenizer_config.json": tokenizer_config(folder) | {"model_max_length": 100}})
    assert length(max_length=128) == (100, "tokenizer_config.json: model_max_length")
    write(folder, {"tokenizer_config.json": tokenizer_config(folder) | {"model_max_length": 1e30}})
    assert length() == (512, "positions")


def test_a_setting_that_is_longer_than_the_model_is_told(caplog):
    load(BUILTIN, uri="x", max_length=513)
    assert (
        "PODIUM_MAX_LENGTH is 513; the model is served with 512 tokens a pair "
        "(tokenizer_config.json: model_max_length)"
    ) in caplog.text


def test_weights_are_computed_in_the_dtype_asked_for_whatever_they_are_stored_in():
    assert load_file(BUILTIN / "model.safetensors").popitem()[1].dtype == torch.float16
    assert load(BUILTIN, uri="builtin", dtype="float32").info.dtype == "float32"


def test_a_folder_without_a_config_is_refused(tmp_path):
    assert refusal(tmp_path) == f"`{tmp_path}` holds no config.json; give the folder of a whole model"


def test_a_config_that_is_not_json_is_refused(folder):
    (folder / "config.json").write_text("{")
    assert refusal(folder).startswith(f"`{folder}/config.json` cannot be read: ")


def test_an_unknown_architecture_is_refused_by_name(folder):
    configure(folder, model_type="telepathy")
    assert "architecture `telepathy` is not known to this version of transformers" in refusal(folder)


def test_a_model_that_brings_its_own_code_is_refused_with_the_settings_that_allow_it(folder):
    configure(folder, model_type="own", auto_map={"AutoConfig": "own.Config"})
    assert refusal(folder) == (
        f"the model in `{folder}` brings its own code; set PODIUM_TRUST_REMOTE_CODE=true and PODIUM_REVISION "
        "to a commit that you have read"
    )


def test_more_labels_than_one_are_refused_with_their_number(folder):
    configure(folder, id2label={"0": "A", "1": "B", "2": "C"}, label2id={"A": 0, "B": 1, "C": 2})
    assert "has 3 labels (id2label of config.json); a reranker has exactly one" in refusal(folder)


def test_a_checkpoint_without_its_head_is_refused_with_the_names(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "classifier" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    assert refusal(folder) == (
        f"the weights in `{folder}` lack 4 tensors of the model: classifier.dense.bias, "
        "classifier.dense.weight, classifier.out_proj.bias, classifier.out_proj.weight; give a model that "
        "was trained for reranking, not its base model"
    )


@pytest.mark.parametrize("kept", [0, 7, 1_000_000], ids=["empty", "no header", "truncated"])
def test_broken_safetensors_are_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(folder).startswith(f"the weights `{path}` are cut, or are no safetensors file (it")


def test_a_tensor_of_another_shape_is_refused(folder):
    configure(folder, intermediate_size=64)
    assert refusal(folder).startswith(f"the weights in `{folder}` cannot be loaded: ")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"`{folder}` holds no weights: neither *.safetensors nor *.bin"


def test_a_folder_without_a_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert refusal(folder) == (
        f"the tokenizer in `{folder}` knows no words: the folder holds no file of a tokenizer; fetch the "
        "whole model again"
    )


@pytest.fixture
def pickled(folder) -> Path:
    """The built-in model with its weights as a pickle."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_pickle_is_refused_with_the_setting_that_allows_it(pickled):
    assert refusal(pickled) == (
        f"`{pickled}` holds pickled weights only, and a pickle can run code; convert them to safetensors, or "
        "set PODIUM_ALLOW_PICKLE=true if you trust their origin"
    )


def test_a_pickle_is_loaded_where_it_is_allowed(pickled):
    assert load(pickled, uri="x", allow_pickle=True).info.forward == "packed"


def test_a_pickle_that_runs_code_is_refused_even_then(pickled, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"electra.embeddings.word_embeddings.weight": Trap()}, pickled / "pytorch_model.bin")
    assert refusal(pickled, allow_pickle=True).startswith(f"the weights in `{pickled}` cannot be loaded: ")
    assert not (tmp_path / "sprung").exists()


def test_an_architecture_that_cannot_be_packed_is_served_padded(tmp_path):
    deberta(tmp_path)
    model = load(tmp_path, uri="x", dtype="float32")
    assert (model.info.architecture, model.info.forward) == ("DebertaV2ForSequenceClassification", "padded")


@pytest.mark.parametrize("names", [["input_ids", "token_type_ids"], ["input_ids"]], ids=["made", "not made"])
@pytest.mark.parametrize("name", ["gpt2", "ctrl", "flaubert"])
def test_a_model_that_reads_token_types_as_words_is_given_those_that_the_tokenizer_makes(
    tmp_path, name, names
):
    tokenizer = bert_tokenizer()
    tokenizer.model_input_names = [*names, "attention_mask"]
    folder = save(tmp_path, "classifier", tokenizer, model_type=name, n_embd=64, n_layer=2, n_head=4)
    model = load(folder, uri="x", device="cpu", dtype="float32")
    # GPT-2 counts positions from the padding that stands before a shorter pair, so pairs are scored alone
    assert_equal(scored(model, PAIRS), expected(folder, PAIRS, batch_size=1))


def test_a_padding_token_behind_the_last_position_is_no_place_where_positions_begin(tmp_path):
    tokenizer = framed_tokenizer()
    folder = save(tmp_path, "classifier", tokenizer, model_type="bert", max_position_embeddings=300)
    assert tokenizer.pad_token_id > 300
    model = load(folder, uri="x", device="cpu", dtype="float32")
    assert model.info.max_length == 300
    assert_equal(scored(model, PAIRS), expected(folder, PAIRS))


def deberta(folder: Path) -> None:
    """Save a small DeBERTa that has a convolution, with random weights and the built-in model's tokenizer."""
    convolution = {"conv_kernel_size": 3, "conv_act": "gelu"}
    model = network("mxbai-rerank-xsmall-v1", num_hidden_layers=2, vocab_size=30_522, **convolution)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUILTIN / name, folder)
