"""A folder's tokenizer is served as transformers reads it, or refused in words that name what is there."""

import json
import shutil
from types import SimpleNamespace

import pytest
from models import shared
from models.networks import BUILTIN
from models.text import backends
from transformers import AutoConfig, AutoTokenizer

from podium.errors import PermanentStartError
from podium.models.load import segments_of
from podium.models.recipe import Recipe
from podium.models.text import files


@pytest.fixture
def folder(tmp_path):
    """A BERT's tokenizer in all the files that it may come in."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUILTIN / name, tmp_path)
    return tmp_path


@pytest.fixture
def qwen(tmp_path):
    """A Qwen's in the files that its vendor gives: no tokenizer.json."""
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "config.json"):
        shutil.copy(shared.tokenizer("qwen3-0.6b") / name, tmp_path)
    return tmp_path


def load(folder):
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    return files.load(folder, config, trust_remote_code=False)


def refusal(folder) -> str:
    with pytest.raises(PermanentStartError) as raised:
        load(folder)
    return raised.value.message.replace(str(folder), "FOLDER")


def change(folder, **fields) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def segments(folder, **recipe) -> bool:
    network = SimpleNamespace(config=AutoConfig.from_pretrained(folder, local_files_only=True))
    return segments_of(Recipe(family="x", recognised_by="x", **recipe), network, load(folder))


def test_a_berts_pairs_have_token_types(folder):
    assert segments(folder)


@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast", "OfNobodyTokenizer"])
def test_a_class_that_leaves_token_types_out_leaves_them_out(folder, name):
    """transformers 5 saves fine-tunes so; with token types their logits are off by up to 18."""
    change(folder, tokenizer_class=name)
    own = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert "token_type_ids" not in own([("a", "b")])
    assert not segments(folder)


def test_model_input_names_of_the_files_leave_them_out_too(folder):
    change(folder, model_input_names=["input_ids", "attention_mask"])
    assert not segments(folder)


def test_a_network_without_them_has_none(folder):
    network = SimpleNamespace(config=SimpleNamespace(type_vocab_size=1, model_type="xlm-roberta"))
    recipe = Recipe(family="x", recognised_by="x")
    assert not segments_of(recipe, network, load(folder))


@pytest.mark.parametrize("missing", ["tokenizer_config.json"])
def test_a_folder_without_a_file_that_adds_nothing_is_served(folder, missing):
    whole = load(folder).backend_tokenizer.encode("a panda", "b").ids
    (folder / missing).unlink()
    assert load(folder).backend_tokenizer.encode("a panda", "b").ids == whole


def test_a_folder_without_the_vocabulary_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    assert refusal(folder) == (
        "the tokenizer in `FOLDER` knows no words: the folder holds tokenizer_config.json; fetch the whole "
        "model again"
    )


def test_a_qwen_s_class_that_finds_no_file_is_refused_though_it_makes_a_word_of_its_own(tmp_path):
    config = {"model_type": "qwen2", "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    assert "knows no words: the folder holds tokenizer_config.json" in refusal(tmp_path)


@pytest.mark.parametrize(("missing", "left"), [("merges.txt", "vocab.json"), ("vocab.json", "merges.txt")])
def test_a_qwen_without_one_of_its_files_is_refused(qwen, missing, left):
    (qwen / missing).unlink()
    told = refusal(qwen)
    assert "`FOLDER` cannot be loaded from its files" in told
    assert left in told
    assert f"{missing}," not in told


def test_a_qwen_without_both_is_refused(qwen):
    (qwen / "merges.txt").unlink()
    (qwen / "vocab.json").unlink()
    assert "knows no words: the folder holds tokenizer_config.json" in refusal(qwen)


@pytest.mark.parametrize(
    ("name", "content"), [("tokenizer.json", "{"), ("tokenizer.json", "null"), ("tokenizer.json", "[]")]
)
def test_a_broken_file_is_refused(folder, name, content):
    (folder / name).write_text(content)
    assert (
        "the tokenizer in `FOLDER` cannot be loaded from its files (tokenizer.json, tokenizer_con"
        in refusal(folder)
    )


@pytest.mark.parametrize("name", ["sentencepiece.bpe.model", "tokenizer.model"])
def test_a_model_of_sentencepiece_alone_is_refused_with_the_way_out(folder, name):
    (folder / "tokenizer.json").unlink()
    (folder / name).write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    change(folder, tokenizer_class="XLMRobertaTokenizer")
    told = refusal(folder)
    assert told.startswith(f"the tokenizer in `FOLDER` is {name} without tokenizer.json")
    assert "save_pretrained" in told


def test_a_tokenizer_with_more_tokens_than_the_network_has_rows_is_refused(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 30_000}))
    assert refusal(folder) == (
        "the tokenizer in `FOLDER` has a token with id 30521, and the model 30000 rows (vocab_size of "
        "config.json): it is the tokenizer of another model"
    )


def test_rows_that_no_token_has_are_none_of_our_business(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 40_000}))
    assert load(folder)


def test_control_tokens_beyond_the_rows_can_never_be_read(folder):
    """Some publishers add a token for padding and no row for it."""
    backend = backends.bert()
    backend.add_special_tokens(["<pad>"])
    backend.save(str(folder / "tokenizer.json"))
    assert load(folder)
