"""A folder is recognised by its evidence, and says how it scores, or is refused with the reason."""

import pytest
from models.families.configs import (
    BINARY,
    BOTH_WAYS,
    CTXL,
    GEMMA,
    GTE,
    JINA,
    NEMOTRON,
    NEMOTRON_VL,
    QWEN2,
    QWEN2_CONVERTED,
    QWEN3,
    QWEN3_CONVERTED,
    ZERANK,
    ZERANK_1,
    made,
)
from models.folders import CAUSAL, ENCODER, write_tensors

from podium.models.families.table import FAMILIES, NAMES
from podium.models.recipe import Own, Rows

TWO = {"id2label": {"0": "no", "1": "yes"}}
YES_NO = Rows(source="vocabulary", true=9693, false=2152)


@pytest.mark.parametrize(
    ("config", "name", "family", "evidence", "head"),
    [
        (QWEN3, "", "qwen3-reranker", "Qwen3ForCausalLM with 151669 tokens and 40960 positions", YES_NO),
        (CAUSAL, "Qwen/Qwen3-Reranker-8B", "qwen3-reranker", "the name Qwen/Qwen3-Reranker-8B", YES_NO),
        (
            {**QWEN3_CONVERTED, "id2label": {"0": "LABEL_0"}},
            "",
            "qwen3-reranker",
            "Qwen3ForSequenceClassification with 151669 tokens and 40960 positions",
            Rows(source="score", true=0),
        ),
        (
            {**QWEN3_CONVERTED, **TWO},
            "",
            "qwen3-reranker",
            "Qwen3ForSequenceClassification with 151669 tokens and 40960 positions",
            Rows(source="score", true=1, false=0),
        ),
        (
            {**QWEN3_CONVERTED, "id2label": {"0": "yes", "1": "no"}},
            "",
            "qwen3-reranker",
            "Qwen3ForSequenceClassification with 151669 tokens and 40960 positions",
            Rows(source="score", true=0, false=1),
        ),
        (
            QWEN2,
            "hf://mixedbread-ai/mxbai-rerank-base-v2",
            "mxbai-rerank-v2",
            "the name mixedbread-ai/mxbai-rerank-base-v2",
            Rows(source="vocabulary", true=16, false=15),
        ),
        (
            {**QWEN2_CONVERTED, **BINARY, "hidden_size": 1536},
            "",
            "mxbai-rerank-v2",
            "Qwen2ForSequenceClassification with the labels 0 and 1 and 151936 tokens",
            Rows(source="score", true=1, false=0),
        ),
        (
            GEMMA,
            "BAAI/bge-reranker-v2-gemma",
            "bge-reranker-v2-gemma",
            "the name BAAI/bge-reranker-v2-gemma",
            Rows(source="vocabulary", true=9454),
        ),
        (
            NEMOTRON,
            "",
            "llama-nemotron-rerank",
            "LlamaBidirectionalForSequenceClassification",
            Rows(source="score", true=0),
        ),
        (
            NEMOTRON_VL,
            "",
            "llama-nemotron-rerank",
            "LlamaNemotronVLForSequenceClassification",
            Rows(source="score", true=0),
        ),
        (CAUSAL, ZERANK, "zerank", f"the name {ZERANK}", Rows(source="vocabulary", true=9454)),
        (CAUSAL, ZERANK_1, "zerank", f"the name {ZERANK_1}", Rows(source="vocabulary", true=9454)),
        (CAUSAL, CTXL, "ctxl-rerank-v2", f"the name {CTXL}", Rows(source="vocabulary", true=0)),
        (GTE, "", "gte-multilingual", "NewForSequenceClassification", Own()),
        (
            JINA,
            "",
            "jina-reranker-v2",
            "XLMRobertaForSequenceClassification with use_flash_attn and auto_map",
            Own(),
        ),
        (ENCODER, "", "cross-encoder", "BertForSequenceClassification, one label", Own()),
        (
            {**QWEN2_CONVERTED, "id2label": {"0": "LABEL_0"}},
            "",
            "cross-encoder",
            "Qwen2ForSequenceClassification, one label",
            Rows(source="score", true=0),
        ),
    ],
)
def test_a_folder_is_recognised_by_its_evidence(tmp_path, config, name, family, evidence, head):
    recipe = made(tmp_path, config, name=name)
    assert (recipe.family, recipe.recognised_by, recipe.head) == (family, evidence, head)


@pytest.mark.parametrize(
    ("config", "name", "attention", "state", "temperature"),
    [
        (QWEN3, "", "causal", "last", 1),
        (QWEN2, "mixedbread-ai/mxbai-rerank-large-v2", "causal", "last", 1),
        (GEMMA, "BAAI/bge-reranker-v2-gemma", "causal", "last", 1),
        (NEMOTRON, "", "bidirectional", "mean", 1),
        (NEMOTRON_VL, "", "bidirectional", "mean", 2),
        (CAUSAL, ZERANK, "causal", "last", 5),
        (CAUSAL, CTXL, "causal", "last", 1),
        (GTE, "", "bidirectional", "first", 1),
        (
            {**ENCODER, "model_type": "modernbert", "classifier_pooling": "mean"},
            "",
            "bidirectional",
            "mean",
            1,
        ),
        ({**ENCODER, "classifier_pooling": "mean"}, "", "bidirectional", "first", 1),
        (
            {**QWEN2_CONVERTED, "num_labels": 1, "is_causal": False},
            "",
            "bidirectional",
            "last",
            1,
        ),
    ],
)
def test_what_is_attended_and_read(tmp_path, config, name, attention, state, temperature):
    recipe = made(tmp_path, config, name=name)
    assert recipe.attention == attention
    assert (recipe.state, recipe.temperature) == (state, temperature)


@pytest.mark.parametrize(
    ("fields", "attention", "scored"),
    [
        ({}, "bidirectional", "first token"),
        ({"model_type": "deberta-v2"}, "bidirectional", "first token"),
        ({"model_type": "eurobert", "clf_pooling": "mean"}, "bidirectional", "mean of all tokens"),
        ({"model_type": "qwen2"}, "causal", "last token"),
        *(
            (fields, "the model's own class decides", "what the model's own class reads")
            for fields in (
                {"model_type": "opt"},
                {"model_type": "bart"},
                {"model_type": "eurobert"},  # its class pools "late" where nothing is said
                {"is_decoder": True},
            )
        ),
    ],
)
def test_of_a_class_that_is_not_known_neither_attention_nor_state_is_told(
    tmp_path, fields, attention, scored
):
    recipe = made(tmp_path, {**ENCODER, **fields})
    assert recipe.attention_described == attention
    assert recipe.described.startswith(f"{scored}: ")


def test_a_vision_reranker_has_one_label_whatever_its_language_model_s_config_says(tmp_path):
    language = {**NEMOTRON_VL["llm_config"], "id2label": {"0": "A", "1": "B"}}
    config = made(tmp_path, {**NEMOTRON_VL, "llm_config": language}).config
    assert (config["num_labels"], config["id2label"]) == (1, {"0": "LABEL_0"})


def test_gte_s_positions_are_scaled_as_its_vendor_s_formula_says(tmp_path):
    recipe = made(tmp_path, GTE)
    assert recipe.architecture == "gte"
    assert recipe.config["rope_parameters"] == {
        "rope_type": "linear",
        "rope_theta": 160_000.0,
        "factor": pytest.approx(8 ** (2 / 64)),
    }


def test_jina_s_tensors_are_enough_evidence(tmp_path):
    write_tensors(tmp_path / "model.safetensors", {"roberta.encoder.layers.0.mixer.Wqkv.weight": (24, 8)})
    recipe = made(tmp_path, {**ENCODER, "architectures": ["XLMRobertaForSequenceClassification"]})
    assert recipe.family == "jina-reranker-v2"


def test_the_setting_overrules_what_the_folder_says(tmp_path):
    recipe = made(tmp_path, CAUSAL, family="mxbai-rerank-v2")
    assert (recipe.family, recipe.recognised_by) == ("mxbai-rerank-v2", "the setting family")


def test_a_word_for_both_directions_that_transformers_does_not_read_is_left_aside_and_told(tmp_path):
    recipe = made(tmp_path, {**QWEN2_CONVERTED, "num_labels": 1, **BOTH_WAYS})
    assert recipe.attention == "causal"
    assert "use_bidirectional_attention of config.json is left aside" in recipe.notes[0]


def test_one_label_of_any_number_is_one_label(tmp_path):
    recipe = made(tmp_path, {**ENCODER, "id2label": {"1": "relevant"}})
    assert recipe.config["id2label"] == {"0": "relevant"}


def test_a_problem_type_that_transformers_refuses_for_one_label_is_replaced(tmp_path):
    recipe = made(tmp_path, {**ENCODER, "problem_type": "single_label_classification"})
    assert recipe.config["problem_type"] == "regression"


def test_names_are_written_once():
    assert len(set(NAMES)) == len(NAMES) == len(FAMILIES) + 1


def test_a_language_models_own_scaling_counts_beside_the_familys_temperature(tmp_path):
    config = {**CAUSAL, "model_type": "granite", "logits_scaling": 4.0}
    assert made(tmp_path, config, family="zerank").temperature == 20.0
