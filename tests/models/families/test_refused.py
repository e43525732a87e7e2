"""What the table of families refuses, by name and with the way out."""

import pytest
from models.families.configs import (
    BINARY,
    BOTH_WAYS,
    GEMMA,
    GTE,
    NEMOTRON,
    NEMOTRON_VL,
    QWEN2,
    QWEN2_CONVERTED,
    QWEN3,
    QWEN3_CONVERTED,
    made,
    refusal,
)
from models.folders import CAUSAL, CHAT, ENCODER, tokenizer

from podium.models.families.table import NAMES


def test_a_family_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    assert refusal(tmp_path, CAUSAL, family="gpt") == (
        f"there is no family `gpt`; PODIUM_FAMILY takes auto, {', '.join(NAMES)}"
    )


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m['content'] }}{% endfor %}"])
def test_a_language_model_that_nothing_tells_of_needs_its_name_or_the_setting(tmp_path, template):
    files = {"chat_template.jinja": template} if template else {}
    message = refusal(tmp_path, QWEN2, **files)
    assert "names Qwen2ForCausalLM, a language model, with " in message
    assert "give the model by its exact name `owner/name`, or set PODIUM_FAMILY to one of " in message


def test_a_listwise_reranker_is_refused_with_the_reason(tmp_path):
    assert "a document's score would depend on the other documents of the request" in refusal(
        tmp_path, {**CAUSAL, "architectures": ["JinaForRanking"]}
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({**ENCODER, "id2label": {"0": "A", "1": "B"}}, "has 2 labels (id2label of config.json)"),
        ({**ENCODER, "id2label": None, "num_labels": 3}, "has 3 labels (num_labels of config.json)"),
        ({**ENCODER, "id2label": None, "num_labels": 10**15}, "has `num_labels` 1000000000000000"),
        (
            {key: value for key, value in ENCODER.items() if key != "id2label"},
            "has 2 labels (neither id2label nor num_labels of config.json)",
        ),
        ({**ENCODER, "id2label": ["A"]}, "`id2label` ['A'], which is no object of numbers to names"),
        ({**QWEN3_CONVERTED, "id2label": {"0": "A", "1": "B", "2": "C"}}, "a Qwen3-Reranker has one, or two"),
        (
            {**NEMOTRON, "pooling": "weighted_avg"},
            "has `pooling` 'weighted_avg'; Podium knows avg, cls, last",
        ),
        ({**QWEN2_CONVERTED, **BINARY}, "has 2 labels (id2label of config.json); a reranker has exactly one"),
        (
            {**GEMMA, "architectures": ["GemmaForSequenceClassification"], "num_labels": 1, **BOTH_WAYS},
            "in both directions where it is alone, and in one beside a longer pair",
        ),
        (
            {**CAUSAL, "model_type": "mistral", "layer_types": ["full_attention"]},
            "has the model type `mistral` with `layer_types`, which transformers reads as `ministral`",
        ),
        ({**NEMOTRON, "is_causal": True}, "has `is_causal` true, and the class LlamaBidirectional"),
        ({**NEMOTRON, "temperature": 0}, "has `temperature` 0; it is a number above 0"),
        ({**NEMOTRON_VL, "llm_config": None}, "has no `llm_config`"),
        ({**GTE, "rope_scaling": {"type": "yarn", "factor": 2}}, "Podium knows the type ntk with a factor"),
        ({**GTE, "position_embedding_type": "absolute"}, "has `position_embedding_type` 'absolute'"),
        ({**ENCODER, "quantization_config": {"quant_method": "gptq"}}, "are quantized (gptq)"),
        (
            {**ENCODER, "auto_map": {"AutoModelForSequenceClassification": "own.Own"}},
            "brings its own code; set PODIUM_TRUST_REMOTE_CODE=true",
        ),
    ],
)
def test_what_contradicts_is_refused_by_name(tmp_path, config, named):
    assert named in refusal(tmp_path, config)


@pytest.mark.parametrize(
    ("family", "config", "word"),
    [
        ("qwen3-reranker", QWEN3, "yes"),
        ("mxbai-rerank-v2", QWEN2, "1"),
        ("zerank", CAUSAL, "Yes"),
        ("bge-reranker-v2-gemma", GEMMA, "Yes"),
        ("modular", CAUSAL, "yes"),
    ],
)
def test_a_vocabulary_without_the_word_that_is_read_is_refused(tmp_path, family, config, word):
    files = {"tokenizer.json": tokenizer(panda=5), "chat_template.jinja": CHAT}
    message = refusal(tmp_path, config, family=family, **files)
    assert f"has no token `{word}`, whose logit is the score" in message


@pytest.mark.parametrize("name", ["LayerWiseMiniCPMForCausalLM", "T5ForConditionalGeneration"])
def test_a_reranker_of_another_kind_is_refused_as_what_it_is(tmp_path, name):
    message = refusal(tmp_path, {**CAUSAL, "architectures": [name]})
    assert f"a reranker of a kind that Podium does not score ({name})" in message


@pytest.mark.parametrize("said", [{}, {"attention_type": "block_sparse"}])
def test_attention_that_depends_on_the_pairs_before_is_refused_with_the_way_out(tmp_path, said):
    config = {**ENCODER, "model_type": "big_bird", "architectures": ["BigBirdForSequenceClassification"]}
    assert "say `original_full` for full attention always" in refusal(tmp_path, {**config, **said})
    assert made(tmp_path, {**config, "attention_type": "original_full"}).family == "cross-encoder"


@pytest.mark.parametrize(
    "said", [{"model_type": "reformer"}, {"model_type": "yoso", "use_expectation": False}]
)
def test_attention_that_hashes_is_refused(tmp_path, said):
    message = refusal(tmp_path, {**ENCODER, **said, "architectures": ["XForSequenceClassification"]})
    assert f"has the model type `{said['model_type']}`, whose attention hashes tokens" in message


@pytest.mark.parametrize("family", ["qwen3-reranker", "bge-reranker-v2-gemma", "zerank", "ctxl-rerank-v2"])
@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "gemma2"}, "caps logits (final_logit_softcapping)"),
        ({"model_type": "cohere"}, "has the model type `cohere`; of language models Podium knows "),
    ],
)
def test_a_setting_makes_no_product_of_logits_that_are_none(tmp_path, family, config, named):
    files = {"tokenizer.json": tokenizer(yes=5, no=6, Yes=7)}
    assert named in refusal(tmp_path, {**CAUSAL, **config}, family=family, **files)


def test_an_adapter_is_refused_with_the_way_out(tmp_path):
    assert "merge it into its base model" in refusal(tmp_path, ENCODER, **{"adapter_config.json": {"r": 8}})
