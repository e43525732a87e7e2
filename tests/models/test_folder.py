"""A folder is read as it lies there, and what cannot be read is named."""

import json

import pytest
from models.folders import CHAT, ENCODER, tokenizer, write, write_tensors

from podium.errors import PermanentStartError, Reason
from podium.models.folder import read


def refusal(folder) -> str:
    with pytest.raises(PermanentStartError) as caught:
        read(folder)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    return caught.value.message


def test_what_lies_there_is_read(tmp_path):
    write(
        tmp_path,
        {
            "config.json": ENCODER,
            "tokenizer.json": tokenizer(yes=1),
            "1_Dense/config.json": {"in_features": 4},
            "README.md": "text",
            "onnx/model.onnx": "text",
        },
    )
    write_tensors(tmp_path / "model.safetensors", {"a.weight": (3, 4)})
    write_tensors(tmp_path / "1_Dense" / "model.safetensors", {"linear.weight": (1, 4)})
    folder = read(tmp_path)
    assert folder.config == ENCODER
    assert folder.architecture == "BertForSequenceClassification"
    assert folder.object("1_Dense/config.json") == {"in_features": 4}
    assert folder.object("modules.json") == {}
    assert folder.tensors["a.weight"] == ("model.safetensors", "F32", (3, 4))
    assert folder.module_tensors["1_Dense"]["linear.weight"].shape == (1, 4)
    assert folder.files == (
        "1_Dense/config.json",
        "1_Dense/model.safetensors",
        "README.md",
        "config.json",
        "model.safetensors",
        "onnx/model.onnx",
        "tokenizer.json",
    )


def test_a_folder_without_a_config_is_refused(tmp_path):
    assert refusal(tmp_path) == f"`{tmp_path}` holds no config.json; give the folder of a whole model"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("null", "null"),
        ("[]", "a list"),
        ('"text"', "a string"),
        ("3", "a number"),
        ("true", "a boolean"),
    ],
)
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "config_sentence_transformers.json"]
)
def test_a_file_that_is_no_object_is_refused_with_what_it_is(tmp_path, name, content, kind):
    write(tmp_path, {"config.json": ENCODER, name: content})
    assert refusal(tmp_path) == (
        f"`{tmp_path / name}` holds {kind}, not a JSON object; restore it from the model's origin"
    )


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000], ids=["cut", "empty", "deep"])
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    write(tmp_path, {"config.json": content})
    assert refusal(tmp_path).startswith(f"`{tmp_path / 'config.json'}` cannot be read: ")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00{")
    assert refusal(tmp_path).startswith(f"`{tmp_path / 'config.json'}` cannot be read: ")


@pytest.mark.parametrize("content", ["null", "{}", "[]", "[1]"])
def test_modules_that_are_no_list_of_modules_are_refused(tmp_path, content):
    write(tmp_path, {"config.json": ENCODER, "modules.json": content})
    assert "not a list of modules; restore it from the model's origin" in refusal(tmp_path)


def test_the_jinja_file_wins_over_the_tokenizer_s_config(tmp_path):
    write(tmp_path, {"config.json": ENCODER, "tokenizer_config.json": {"chat_template": "old"}})
    assert read(tmp_path).chat_template == "old"
    write(tmp_path, {"chat_template.jinja": CHAT})
    folder = read(tmp_path)
    assert (folder.chat_template, folder.chat_template_from) == (CHAT, "chat_template.jinja")


def test_of_several_chat_templates_the_default_is_taken(tmp_path):
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    write(tmp_path, {"config.json": ENCODER, "tokenizer_config.json": {"chat_template": named}})
    assert read(tmp_path).chat_template == "d"


def test_token_ids_come_from_the_vocabulary_and_the_added_tokens(tmp_path):
    added = {**tokenizer(yes=7), "added_tokens": [{"content": "<a>", "id": 9}]}
    write(tmp_path, {"config.json": ENCODER, "tokenizer.json": added})
    folder = read(tmp_path)
    assert (folder.token_id("yes"), folder.token_id("<a>"), folder.token_id("no")) == (7, 9, None)


def test_a_unigram_vocabulary_is_a_list_in_order(tmp_path):
    write(
        tmp_path,
        {"config.json": ENCODER, "tokenizer.json": {"model": {"vocab": [["<s>", 0.0], ["▁yes", -1.0]]}}},
    )
    assert read(tmp_path).token_id("▁yes") == 1


def test_without_a_tokenizer_json_the_vocabulary_file_is_read(tmp_path):
    write(tmp_path, {"config.json": ENCODER, "vocab.json": {"yes": 5}})
    assert read(tmp_path).token_id("yes") == 5


def test_a_folder_that_is_read_again_has_the_tokens_of_its_new_files(tmp_path):
    write(tmp_path, {"config.json": {}, "tokenizer.json": "cut"})
    assert read(tmp_path).token_id("yes") is None
    write(tmp_path, {"tokenizer.json": tokenizer(yes=7)})
    assert read(tmp_path).token_id("yes") == 7


@pytest.fixture
def sharded(tmp_path):
    """A folder with two shards of one tensor each."""
    write(tmp_path, {"config.json": ENCODER})
    names = {f"t{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    for tensor, file in names.items():
        write_tensors(tmp_path / file, {tensor: (2, 2)})
    write(tmp_path, {"model.safetensors.index.json": {"weight_map": names}})
    return tmp_path


def test_shards_are_read_by_their_index(sharded):
    assert {name: info.file for name, info in read(sharded).tensors.items()} == {
        "t1": "model-00001-of-00002.safetensors",
        "t2": "model-00002-of-00002.safetensors",
    }


def test_a_missing_shard_is_refused_by_name(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    assert refusal(sharded) == (
        f"`{sharded}` lacks the shard model-00002-of-00002.safetensors with 1 of the tensors that "
        "model.safetensors.index.json names; fetch the model again"
    )


@pytest.mark.parametrize("kept", [0, 7, 20, 80])
def test_a_cut_shard_is_refused_by_name(sharded, kept):
    path = sharded / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(sharded).startswith(f"the weights `{path}` are cut, or are no safetensors file (")


def test_a_shard_without_its_tensor_is_refused_by_the_tensor(sharded):
    write_tensors(sharded / "model-00002-of-00002.safetensors", {"other": (2, 2)})
    assert "lack 1 tensors that model.safetensors.index.json names: t2; fetch the model again" in refusal(
        sharded
    )


def test_an_index_without_a_map_is_refused(sharded):
    write(sharded, {"model.safetensors.index.json": json.dumps({"metadata": {}})})
    assert "has no `weight_map` of tensor names to files" in refusal(sharded)


def test_pickles_are_named(tmp_path):
    write(tmp_path, {"config.json": ENCODER, "pytorch_model.bin": "x", "1_Dense/pytorch_model.bin": "x"})
    assert read(tmp_path).pickles == ("1_Dense/pytorch_model.bin", "pytorch_model.bin")


@pytest.mark.parametrize(("said", "side"), [(None, "right"), ({"direction": "Left"}, "left")])
def test_tokenizer_json_says_which_end_is_cut(tmp_path, said, side):
    write(tmp_path, {"config.json": ENCODER, "tokenizer.json": {"truncation": said}})
    assert read(tmp_path).truncation_side == side
