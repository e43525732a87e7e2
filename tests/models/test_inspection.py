"""Which files count, and what a model takes."""

import pytest
from models import shared
from models.families.configs import GTE
from models.folders import CHAT, ENCODER, tokenizer, write, write_tensors
from models.modules import CLASSIFIER, ETTIN, GENERATION, SCORE, layout
from transformers import AutoConfig

from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.inspection import batch_bytes, files_left_aside, files_used


def split(path) -> tuple[list[str], list[str]]:
    folder = read(path)
    recipe = recipe_of(folder)
    return files_used(folder, recipe), files_left_aside(folder, recipe)


def test_a_plain_model_takes_config_tokenizer_and_weights(tmp_path):
    write(
        tmp_path,
        {
            "config.json": ENCODER,
            "tokenizer.json": tokenizer(),
            "tokenizer_config.json": {},
            "vocab.txt": "a",
            "chat_template.jinja": "{{ bos_token }}",
            "modules.json": [{"type": "sentence_transformers.models.Transformer", "path": ""}],
            "README.md": "",
            "onnx/config.json": {},
            "pytorch_model.bin": "",
        },
    )
    write_tensors(tmp_path / "model.safetensors", {"a": (1,)})
    assert split(tmp_path) == (
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
        [
            "README.md",
            "chat_template.jinja",
            "modules.json",
            "onnx/config.json",
            "pytorch_model.bin",
            "vocab.txt",
        ],
    )


def test_the_modular_layout_takes_the_folders_of_its_modules(tmp_path):
    write(tmp_path, layout(*ETTIN, **{"README.md": "", "5_Dense/config.json": {}}))
    used, aside = split(tmp_path)
    assert used == [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "3_LayerNorm/config.json",
        "4_Dense/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    ]
    assert aside == ["5_Dense/config.json", "README.md"]


def test_a_family_s_own_class_takes_what_its_lone_module_says(tmp_path):
    used, _ = split(write(tmp_path, layout(**{**CLASSIFIER, "config.json": GTE})))
    assert {"modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"} < set(used)


def test_a_chat_template_that_is_used_counts(tmp_path):
    used, _ = split(write(tmp_path, layout(SCORE, **GENERATION)))
    assert "chat_template.jinja" in used
    write(tmp_path, {"tokenizer_config.json": {"chat_template": CHAT}})
    (tmp_path / "chat_template.jinja").unlink()
    assert "tokenizer_config.json" in split(tmp_path)[0]


def test_a_batch_takes_about_what_was_measured_on_a_device():
    """65,536 tokens of bge-reranker-v2-m3 in two bytes took 2 GB beside its weights."""
    config = AutoConfig.for_model(**shared.config("bge-reranker-v2-m3"))
    assert 1.8e9 < batch_bytes(config, 65_536, 2) < 2.4e9


@pytest.mark.parametrize("model_type", ["distilbert", "gpt2", "fnet", "t5", "gemma3", "xlnet"])
def test_a_batch_is_estimated_for_configs_with_other_names(model_type):
    config = AutoConfig.for_model(model_type)
    hidden = config.get_text_config().hidden_size
    assert 8 * hidden < batch_bytes(config, 1, 1) < 24 * hidden
