"""Folders that lie or are broken are served as the reference serves them, or refused in words that name what
is there; and what a folder says beside its weights counts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from models.folders import CHAT, changed, write
from models.networks import BUILTIN
from models.oracle import (
    DECODER,
    LONG,
    PAIRS,
    WORDS,
    assert_equal,
    bert_tokenizer,
    bpe_tokenizer,
    expected,
    loaded,
    refusal,
    save,
    scored,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast


@pytest.fixture
def builtin(tmp_path) -> Path:
    """A copy of the built-in model."""
    return Path(shutil.copytree(BUILTIN, tmp_path / "model"))


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    """The built-in model's scores as it is."""
    return scored(loaded(BUILTIN), PAIRS)


# what lies


@pytest.mark.parametrize(
    "fields",
    [
        {"id2label": {"0": "1"}, "label2id": {"1": 0}},
        {"id2label": {"1": "RELEVANCE"}, "label2id": {"RELEVANCE": 1}},
        {"problem_type": "single_label_classification"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression", "num_labels": 7},
        {"num_labels": 1, "id2label": {"0": "NO", "1": "YES"}},
        {"pad_token_id": None},
        {"architectures": None},
        {"label2id": None},
    ],
    ids=[
        "a label named 1",
        "a label numbered 1",
        "problem of several labels",
        "problem of many labels",
        "another number of labels",
        "one label with two names",
        "no padding",
        "no class",
        "no label2id",
    ],
)
def test_what_has_no_part_in_a_score_changes_none(builtin, right, fields):
    assert_equal(scored(loaded(changed(builtin, "config.json", **fields)), PAIRS), right)


def test_two_labels_where_one_is_meant_are_refused_with_their_number(builtin):
    changed(builtin, "config.json", id2label={"0": "NO", "1": "YES"}, label2id={"NO": 0, "YES": 1})
    assert "has 2 labels (id2label of config.json); a reranker has exactly one" in refusal(builtin)


def test_labels_that_nobody_names_are_two_by_transformers_rule(builtin):
    changed(builtin, "config.json", id2label=None, label2id=None)
    assert "has 2 labels (neither id2label nor num_labels of config.json)" in refusal(builtin)


def test_a_decoder_s_head_with_two_rows_and_one_label_is_refused_as_the_reference_does(tmp_path):
    folder = save(tmp_path, "classifier", bpe_tokenizer(), **{**DECODER, "model_type": "qwen2"})
    tensors = load_file(folder / "model.safetensors")
    two = tensors["score.weight"].repeat(2, 1)
    save_file({**tensors, "score.weight": two}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match="size"):
        expected(folder, WORDS)
    assert "`score.weight` in " in (message := refusal(folder))
    assert "has 2 rows, and config.json says 1 label: nothing tells which row is the score" in message


def test_a_language_model_is_refused_for_what_it_is_and_not_for_labels(tmp_path):
    message = refusal(save(tmp_path, "causal", bpe_tokenizer(), **{**DECODER, "model_type": "qwen2"}))
    assert "names Qwen2ForCausalLM, a language model, with no chat template" in message
    assert "label" not in message


def test_a_backbone_without_a_head_is_refused_by_the_tensors_that_it_lacks(tmp_path):
    message = refusal(save(tmp_path, "base", bert_tokenizer(), model_type="bert"))
    assert "lack 2 tensors of the model: classifier.bias, classifier.weight" in message


def test_weights_that_the_config_has_no_place_for_are_refused(tmp_path):
    folder = save(tmp_path, "classifier", bert_tokenizer(), model_type="bert")
    assert "num_hidden_layers" not in refusal(changed(folder, "config.json", num_hidden_layers=2))


# what is broken


@pytest.mark.parametrize("content", ["null", "[]", "{", '"x"', ""])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_json_that_is_none_is_refused_by_its_file(builtin, name, content):
    write(builtin, {name: content})
    assert f"`{builtin / name}`" in refusal(builtin)


def test_an_unknown_class_of_tokenizer_reads_as_the_reference_does(builtin, tmp_path, right):
    changed(builtin, "tokenizer_config.json", tokenizer_class="TelepathyTokenizer")
    exact = {"model_kwargs": {"dtype": torch.float32}}  # the file has float16
    assert_equal(scored(loaded(builtin), PAIRS), expected(builtin, PAIRS, **exact))


def test_a_missing_tokenizer_is_refused(builtin):
    (builtin / "tokenizer.json").unlink()
    assert "knows no words: the folder holds tokenizer_config.json" in refusal(builtin)


@pytest.fixture
def shards(tmp_path) -> Path:
    """A small model in several shards."""
    folder = save(tmp_path / "one", "classifier", bert_tokenizer(), model_type="bert")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    sharded = Path(shutil.copytree(folder, tmp_path / "model"))
    (sharded / "model.safetensors").unlink()
    model.save_pretrained(sharded, max_shard_size="500KB")
    assert (sharded / "model.safetensors.index.json").exists()
    return sharded


def test_shards_score_as_one_file_does(shards):
    assert_equal(scored(loaded(shards), PAIRS), scored(loaded(shards.parent / "one"), PAIRS))


def test_a_missing_shard_is_refused_by_name(shards):
    lost = min(shards.glob("model-*.safetensors"))
    lost.unlink()
    assert f"`{shards}` lacks the shard {lost.name}" in refusal(shards)


def test_a_cut_shard_is_refused_by_name(shards):
    cut = max(shards.glob("model-*.safetensors"))
    cut.write_bytes(cut.read_bytes()[:-100])
    assert f"the weights `{cut}` are cut" in refusal(shards)


def test_pickles_alone_need_the_setting(builtin, right):
    torch.save(load_file(builtin / "model.safetensors"), builtin / "pytorch_model.bin")
    (builtin / "model.safetensors").unlink()
    assert "set PODIUM_ALLOW_PICKLE=true if you trust their origin" in refusal(builtin)
    assert_equal(scored(loaded(builtin, allow_pickle=True), PAIRS), right)


def test_whatever_loading_raises_is_one_sentence_and_no_traceback(builtin, capfd, caplog):
    changed(builtin, "config.json", hidden_size="wide", num_attention_heads=[])
    message = refusal(builtin)
    assert "\n" not in message
    assert "Traceback" not in capfd.readouterr().err + caplog.text


# what a folder says beside its weights


def test_the_end_of_a_text_stays_where_the_tokenizer_cuts_on_the_left(tmp_path):
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 40
    folder = save(tmp_path, "classifier", tokenizer, model_type="bert")
    changed(folder, "tokenizer_config.json", truncation_side="left")
    model = loaded(folder)
    assert model.info.truncation_side == "left"
    assert_equal(scored(model, PAIRS + LONG), expected(folder, PAIRS + LONG))


def test_the_tokenizer_s_length_counts(tmp_path):
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 128
    folder = save(tmp_path, "classifier", tokenizer, model_type="bert")
    model = loaded(folder)
    assert (model.info.max_length, model.info.max_length_from) == (
        128,
        "tokenizer_config.json: model_max_length",
    )
    assert_equal(scored(model, LONG), expected(folder, LONG))


@pytest.mark.parametrize("token_types", [True, False])
def test_token_types_are_those_of_the_tokenizer_s_own_inputs(tmp_path, token_types):
    bert = bert_tokenizer()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bert.backend_tokenizer,
        **{f"{role}_token": getattr(bert, f"{role}_token") for role in ("cls", "sep", "pad", "unk", "mask")},
    )
    folder = save(tmp_path, "classifier", bert if token_types else fast, model_type="bert")
    logits = expected(folder, PAIRS)
    assert_equal(scored(loaded(folder), PAIRS), logits)


def test_token_types_move_scores_of_this_model(tmp_path):
    folder = save(tmp_path, "classifier", bert_tokenizer(), model_type="bert")
    with_types = scored(loaded(folder), WORDS)
    changed(folder, "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    without = scored(loaded(folder), WORDS)
    assert np.abs(with_types - without).max() > 0.1
    assert_equal(without, expected(folder, WORDS))


def test_a_chat_template_beside_a_one_label_decoder_is_used(tmp_path):
    tokenizer = bpe_tokenizer()
    tokenizer.chat_template = CHAT
    folder = save(tmp_path, "classifier", tokenizer, **{**DECODER, "model_type": "qwen3"})
    model = loaded(folder)
    assert model.info.family == "modular"
    assert_equal(scored(model, WORDS), expected(folder, WORDS))
    (folder / "chat_template.jinja").unlink()
    assert np.abs(scored(loaded(folder), WORDS) - expected(folder, WORDS)).max() < 1e-3


def test_a_head_that_is_missing_is_refused_by_name(builtin):
    tensors = load_file(builtin / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if "out_proj" not in name}
    save_file(kept, builtin / "model.safetensors", {"format": "pt"})
    assert "lack 2 tensors of the model: classifier.out_proj.bias, classifier.out_proj.weight" in refusal(
        builtin
    )
