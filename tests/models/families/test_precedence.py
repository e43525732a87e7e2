"""Which evidence counts before which: modules, a class of its own, a chat template, code of its own."""

import pytest
from models.families.configs import (
    GTE,
    JINA,
    NEMOTRON,
    NEMOTRON_VL,
    QWEN3,
    made,
)
from models.folders import CHAT, ENCODER, write
from models.modules import CLASSIFIER, ETTIN, GENERATION, SCORE, SETTINGS, layout

from podium.errors import PermanentStartError
from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.recipe import Pair


def test_remote_code_is_the_user_s_explicit_choice(tmp_path):
    write(
        tmp_path,
        {"config.json": {**ENCODER, "auto_map": {"AutoModelForSequenceClassification": "own.Own"}}},
    )
    assert recipe_of(read(tmp_path), trust_remote_code=True).family == "cross-encoder"


def test_a_chat_template_without_roles_is_left_aside_and_told(tmp_path):
    recipe = made(tmp_path, ENCODER, **{"chat_template.jinja": "{{ messages[0]['content'] }}"})
    assert isinstance(recipe.template, Pair)
    assert recipe.notes == (
        "the chat template of chat_template.jinja is left aside: it has no query and document",
    )


def test_a_chat_template_with_roles_is_believed_before_the_table(tmp_path):
    assert made(tmp_path, QWEN3, **{"chat_template.jinja": CHAT}).family == "modular"


@pytest.mark.parametrize("config", [NEMOTRON, NEMOTRON_VL, GTE])
def test_a_class_of_its_own_is_believed_before_a_chat_template(tmp_path, config):
    passes_any_role = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    with_template = made(tmp_path, config, **{"chat_template.jinja": passes_any_role})
    assert with_template.family in ("llama-nemotron-rerank", "gte-multilingual")


@pytest.mark.parametrize(("config", "family"), [(GTE, "gte-multilingual"), (JINA, "jina-reranker-v2")])
def test_a_class_of_its_own_is_read_with_what_one_lone_module_says(tmp_path, config, family):
    config = {**config, "auto_map": {"AutoModelForSequenceClassification": "own.Own"}}
    settings = {**SETTINGS, "activation_fn": "torch.nn.modules.linear.Identity"}
    sentence = {**CLASSIFIER["sentence_bert_config.json"], "max_seq_length": 77}
    files = {"config_sentence_transformers.json": settings, "sentence_bert_config.json": sentence}
    recipe = recipe_of(read(write(tmp_path, layout(**files, **{"config.json": config}))))
    assert (recipe.family, recipe.length, recipe.activation) == (family, 77, "identity")


def test_a_class_of_its_own_that_modules_read_otherwise_is_code(tmp_path):
    config = {**NEMOTRON, "auto_map": {"AutoModelForSequenceClassification": "own.Own"}}
    write(tmp_path, layout(**{**CLASSIFIER, "config.json": config}))
    with pytest.raises(PermanentStartError, match="brings its own code"):
        recipe_of(read(tmp_path))


@pytest.mark.parametrize(
    ("files", "loaded_by"),
    [
        (layout(*ETTIN), "AutoModel"),
        (layout(SCORE, **GENERATION), "AutoModelForCausalLM"),
        (layout(**CLASSIFIER), "AutoModelForSequenceClassification"),
    ],
)
def test_code_of_its_own_behind_modules_is_the_user_s_explicit_choice(tmp_path, files, loaded_by):
    config = {
        **files["config.json"],
        "model_type": "bert" if loaded_by != "AutoModelForCausalLM" else "qwen3",
    }
    write(tmp_path, {**files, "config.json": {**config, "auto_map": {loaded_by: "own.Own"}}})
    with pytest.raises(PermanentStartError, match="brings its own code"):
        recipe_of(read(tmp_path))
    assert recipe_of(read(tmp_path), trust_remote_code=True).family == "modular"
