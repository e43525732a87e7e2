"""What modules.json and its files say that Podium does not know is refused by name."""

from typing import Any

import pytest
from models.folders import CAUSAL, ENCODER
from models.modules import (
    CLASSIFIER,
    ETTIN,
    GENERATION,
    HIDDEN,
    LAST,
    POOLING,
    SCORE,
    SENTENCE,
    SETTINGS,
    TASK,
    layout,
    refusal,
)


def test_modules_of_another_kind_are_refused_where_it_has_none(tmp_path):
    message = refusal(tmp_path, layout(*ETTIN, **{"config_sentence_transformers.json": {}}))
    assert "holds a SentenceTransformer by its modules.json" in message
    assert "it makes embeddings and scores no pairs" in message


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("sub/1_Pooling", "has a module in `sub/1_Pooling`; Podium knows folders right in the model's own"),
        ("../1_Pooling", "has a module in `../1_Pooling`, outside of the model's folder"),
        ("elsewhere", "has a Pooling in `elsewhere`, and no config.json there says what it does"),
        (None, "has a Pooling in `None`, and no config.json there says what it does"),
        ("", "has a Pooling in `.`, and no config.json there says what it does"),
    ],
)
def test_a_module_that_is_not_where_its_entry_says_is_refused(tmp_path, path, named):
    files = layout(*ETTIN)
    files["modules.json"][1]["path"] = path
    assert named in refusal(tmp_path, files)


def without(key: str, config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != key}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (layout(("own_package.Head", {}), ("Dense", LAST)), "`own_package.Head`, which is code of its own"),
        (layout(("Router", {})), "has a module of type `sentence_transformers.base.modules.router.Router`"),
        (layout(("LSTM", {})), "Podium knows Transformer, Pooling, Dense,"),
        (layout(), "has nothing after a Transformer for feature extraction"),
        (layout(("Pooling", POOLING)), "ends with `sentence_embedding`"),
        (layout(("Dense", LAST)), "has Dense in `1_Dense` after a Transformer for feature extraction"),
        (layout(("Pooling", {"pooling_mode": "max"}), ("Dense", LAST)), "pools by max; Podium knows cls,"),
        (layout(("Pooling", {"pooling_mode": ["cls", "mean"]}), ("Dense", LAST)), "pools by cls and mean"),
        (layout(("Pooling", {"pooling_mode": None}), ("Dense", LAST)), "pools by None; Podium knows cls,"),
        (layout(("Pooling", {"pooling_mode": [{}]}), ("Dense", LAST)), "pools by {}; Podium knows cls,"),
        (layout(("Pooling", {}), ("Dense", LAST)), "has a Pooling in `1_Pooling`, and no config.json there"),
        (layout(("Pooling", POOLING), ("Dense", {})), "has a Dense in `2_Dense`, and no config.json there"),
        (layout(("Pooling", {**POOLING, "new": 1}), ("Dense", LAST)), "has the option `new` of Pooling"),
        (
            layout(("Pooling", POOLING), ("Dense", {**LAST, "out_features": 2})),
            "ends with 2 scores a pair; a reranker has exactly one",
        ),
        (
            layout(("Pooling", POOLING), ("Dense", {**LAST, "in_features": 7})),
            f"with 7 inputs after {HIDDEN} outputs",
        ),
        (
            layout(("Pooling", POOLING), ("Dense", {**LAST, "module_input_name": "token_embeddings"})),
            "that reads `token_embeddings` where `sentence_embedding` was made last",
        ),
        (
            layout(("Pooling", POOLING), ("Dense", without("module_output_name", LAST))),
            "a reranker's last Dense has `module_output_name` `scores`",
        ),
        (
            layout(("Pooling", POOLING), ("Dense", {**LAST, "activation_function": "own.Act"})),
            "has `activation_function` 'own.Act'; Podium knows the classes of torch.nn",
        ),
        (
            layout(("Pooling", POOLING), ("Dense", without("in_features", LAST))),
            "has `in_features` None; Dense needs a number there",
        ),
        (layout(("Pooling", POOLING), SCORE), "has LogitScore in `2_LogitScore` after a Pooling"),
        (layout(("Dense", LAST), **CLASSIFIER), "after a Transformer with a classification head of its own"),
        (layout(**GENERATION), "has nothing after a Transformer for text generation"),
        (
            layout(("LogitScore", {"true_token_id": 999_999}), **GENERATION),
            "has `true_token_id` 999999, which is no token of a vocabulary of 151936",
        ),
        (layout(("LogitScore", {"true_token_id": "yes"}), **GENERATION), "has `true_token_id` 'yes'"),
        (
            layout(SCORE, **{**GENERATION, "config.json": {**CAUSAL, "model_type": "mamba"}}),
            "has the model type `mamba`; of language models Podium knows ",
        ),
        (
            layout(SCORE, **{**GENERATION, "config.json": {**CAUSAL, "model_type": "gemma2"}}),
            "caps logits (final_logit_softcapping)",
        ),
        (
            layout(SCORE, **{**GENERATION, "chat_template.jinja": "{{ messages[0]['content'] }}"}),
            "the chat template of chat_template.jinja carries no query and document",
        ),
        (
            layout(SCORE, **without("chat_template.jinja", GENERATION)),
            "feeds pairs as messages, and there is no chat template",
        ),
        *(
            (
                layout(
                    SCORE,
                    **{
                        **GENERATION,
                        SENTENCE: GENERATION[SENTENCE] | {"processing_kwargs": {"chat_template": {key: "x"}}},
                    },
                ),
                f"has `processing_kwargs.chat_template.{key}`, which Podium does not know",
            )
            for key in ("chat_template", "continue_final_message", "tokenize", "return_assistant_tokens_mask")
        ),
        (layout(**{SENTENCE: {"transformer_task": "fill-mask"}}), "has the task `fill-mask`; Podium knows "),
        (
            layout(**{**CLASSIFIER, SENTENCE: {**TASK, "new_option": 1}}),
            "has `new_option`, which Podium does not know",
        ),
        (
            layout(**{**CLASSIFIER, SENTENCE: {**TASK, "config_args": {"num_labels": 3}}}),
            "has `config_kwargs` with `num_labels`",
        ),
        (
            layout(**{**CLASSIFIER, SENTENCE: {**TASK, "tokenizer_name_or_path": "x"}}),
            "takes its tokenizer from elsewhere",
        ),
        (
            layout(
                **{**CLASSIFIER, SENTENCE: {**TASK, "processing_kwargs": {"text": {"truncation": False}}}}
            ),
            "has `processing_kwargs.text.truncation` False; Podium knows longest_first",
        ),
        (
            layout(
                **{
                    **CLASSIFIER,
                    SENTENCE: {**TASK, "processing_kwargs": {"text": {"add_special_tokens": False}}},
                }
            ),
            "has `processing_kwargs.text.add_special_tokens`, which Podium does not know",
        ),
        (
            layout(**{**CLASSIFIER, SENTENCE: {**TASK, "max_seq_length": "long"}}),
            "has `max_seq_length` 'long'; it is a number of tokens",
        ),
        (
            layout(**{**CLASSIFIER, "config_sentence_transformers.json": {**SETTINGS, "new": 1}}),
            "has `new`, which Podium does not know",
        ),
        (
            layout(
                **{
                    **CLASSIFIER,
                    "config_sentence_transformers.json": {
                        **SETTINGS,
                        "keep_in_fp32_modules": ["0.model.bert.encoder.layer.0.output.dense"],
                    },
                }
            ),
            "keeps `0.model.bert.encoder.layer.0.output.dense` in float32 (keep_in_fp32_modules)",
        ),
        (
            layout(
                **{
                    **CLASSIFIER,
                    "config_sentence_transformers.json": {**SETTINGS, "default_prompt_name": "q"},
                }
            ),
            "has `default_prompt_name` 'q', which is none of its prompts ()",
        ),
        (
            layout(
                ("Pooling", {**POOLING, "include_prompt": False}),
                ("Dense", LAST),
                **{
                    "config_sentence_transformers.json": {
                        **SETTINGS,
                        "prompts": {"q": "query: "},
                        "default_prompt_name": "q",
                    }
                },
            ),
            "says include_prompt false beside saved prompts; Podium pools all tokens",
        ),
        (
            layout(**{**CLASSIFIER, "config.json": {**ENCODER, "id2label": {"0": "a", "1": "b"}}}),
            "has 2 labels (id2label of config.json)",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, files, named):
    assert named in refusal(tmp_path, files)


@pytest.mark.parametrize("path", ["../other", "/etc", "a/../../b"])
def test_a_module_outside_of_the_folder_is_refused(tmp_path, path):
    files = layout(*ETTIN)
    files["modules.json"][1]["path"] = path
    assert f"has a module in `{path}`, outside of the model's folder" in refusal(tmp_path, files)


def test_a_transformer_in_a_subfolder_is_refused(tmp_path):
    files = layout(*ETTIN)
    files["modules.json"][0]["path"] = "0_Transformer"
    assert "Podium knows a Transformer at the top of the folder" in refusal(tmp_path, files)
