"""modules.json and what it names become a recipe; no weights are needed for it."""

import pytest
from models.folders import CAUSAL, CHAT, ENCODER
from models.modules import (
    BASE,
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
    made,
)

from podium.models.folder import read
from podium.models.inspection import files_used
from podium.models.recipe import Chat, Dense, LayerNorm, Normalize, Own, Pair, Rows, Stack

OLD = "sentence_transformers.models"
TRANSFORMER = f"{BASE}.transformer.Transformer"


def test_a_backbone_with_a_stack_of_modules(tmp_path):
    recipe = made(tmp_path, layout(*ETTIN))
    assert (recipe.family, recipe.recognised_by) == ("modular", "modules.json")
    assert (recipe.network, recipe.state, recipe.attention) == ("base", "first", "bidirectional")
    assert recipe.template == Pair()
    assert recipe.head == Stack(
        modules=(
            Dense(
                folder="2_Dense",
                inputs=HIDDEN,
                outputs=HIDDEN,
                bias=False,
                activation="torch.nn.modules.activation.GELU",
            ),
            LayerNorm(folder="3_LayerNorm", size=HIDDEN),
            Dense(folder="4_Dense", inputs=HIDDEN, outputs=1, activation="torch.nn.modules.linear.Identity"),
        )
    )


def test_a_causal_model_with_a_score_of_tokens(tmp_path):
    recipe = made(tmp_path, layout(SCORE, **GENERATION))
    assert recipe.head == Rows(source="vocabulary", true=9693, false=2152)
    assert recipe.template == Chat(source=CHAT)
    assert (recipe.network, recipe.state, recipe.attention) == ("base", "last", "causal")
    assert recipe.instruction_use == "slot"


def test_one_token_may_be_the_score(tmp_path):
    recipe = made(tmp_path, layout(("LogitScore", {"true_token_id": 5}), **GENERATION))
    assert recipe.head == Rows(source="vocabulary", true=5)


def test_a_classifier_alone(tmp_path):
    recipe = made(tmp_path, layout(**CLASSIFIER))
    assert (recipe.head, recipe.network, recipe.instruction_use) == (Own(), "classifier", "none")


def test_a_decoder_s_classifier_reads_the_last_token(tmp_path):
    config = {**CAUSAL, "architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    recipe = made(tmp_path, layout(**{**CLASSIFIER, "config.json": config}))
    assert (recipe.head, recipe.state) == (Rows(source="score", true=0), "last")


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
        ({"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, "first"),
        ({"pooling_mode": "cls", "include_prompt": False}, "first"),
        ({"embedding_dimension": HIDDEN}, "mean"),
    ],
)
def test_pooling_is_read_in_its_old_and_new_words(tmp_path, config, state):
    assert made(tmp_path, layout(("Pooling", config), ("Dense", LAST))).state == state


@pytest.mark.parametrize("path", ["1_Pooling/", "./1_Pooling", "1_Pooling//."])
def test_a_folder_of_a_module_may_be_spelled_in_other_ways(tmp_path, path):
    files = layout(*ETTIN)
    files["modules.json"][1]["path"] = path
    recipe = made(tmp_path, files)
    assert (recipe.state, recipe.head) == ("first", made(tmp_path / "plain", layout(*ETTIN)).head)
    assert "1_Pooling/config.json" in files_used(read(tmp_path), recipe)


@pytest.mark.parametrize("module", [f"{OLD}.Transformer", f"{OLD}.Transformer.Transformer", TRANSFORMER])
def test_only_the_last_part_of_a_type_tells(tmp_path, module):
    files = layout(*ETTIN)
    files["modules.json"][0]["type"] = module
    files["modules.json"][1]["type"] = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    assert made(tmp_path, files).family == "modular"


@pytest.mark.parametrize(("said", "meant"), [(1, True), (0, False), (True, True), (None, False)])
def test_what_is_no_boolean_counts_as_python_counts_it(tmp_path, said, meant):
    files = layout(("Pooling", POOLING), ("Dense", {**LAST, "bias": said, "use_residual": said}))
    head = made(tmp_path, files).head
    assert isinstance(head, Stack)
    [dense] = head.modules
    assert isinstance(dense, Dense)
    assert (dense.bias, dense.residual) == (meant, meant)


def test_what_a_dense_leaves_out_is_the_library_s_default(tmp_path):
    config = {"in_features": HIDDEN, "out_features": 1, "module_output_name": "scores", "use_residual": True}
    recipe = made(tmp_path, layout(("Pooling", POOLING), ("Normalize", {}), ("Dense", config)))
    assert isinstance(recipe.head, Stack)
    normalize, dense = recipe.head.modules
    assert isinstance(normalize, Normalize)
    assert isinstance(dense, Dense)
    assert (dense.bias, dense.residual) == (True, True)
    assert dense.activation == "torch.nn.modules.activation.Tanh"


def test_dropout_does_nothing_and_says_so(tmp_path):
    recipe = made(tmp_path, layout(("Pooling", POOLING), ("Dropout", {"dropout": 0.1}), ("Dense", LAST)))
    assert recipe.notes == ("Dropout in `2_Dropout`: nothing to do when scoring",)


@pytest.mark.parametrize(
    ("options", "tokens", "said_by"),
    [
        (
            {"processing_kwargs": {"text": {"max_length": 100}}, "max_seq_length": 200},
            100,
            "sentence_bert_config.json: processing_kwargs.text.max_length",
        ),
        ({"max_seq_length": 200}, 200, "sentence_bert_config.json: max_seq_length"),
        (
            {"max_seq_length": 200, "tokenizer_args": {"model_max_length": 150}},
            150,
            "sentence_bert_config.json: processor_kwargs.model_max_length",
        ),
        ({}, 300, "tokenizer_config.json: model_max_length"),
    ],
)
def test_the_length_by_the_library_s_precedence(tmp_path, options, tokens, said_by):
    files = {
        **CLASSIFIER,
        SENTENCE: {**TASK, **options},
        "tokenizer_config.json": {"model_max_length": 300},
    }
    recipe = made(tmp_path, layout(**files))
    assert (recipe.length, recipe.length_from) == (tokens, said_by)


def test_without_any_length_the_positions_decide(tmp_path):
    files = {**CLASSIFIER, "tokenizer_config.json": {"model_max_length": 1e30}}
    recipe = made(tmp_path, layout(**files))
    assert (recipe.length, recipe.length_from) == (None, "positions")


def test_the_file_of_the_transformer_has_older_names(tmp_path):
    files = layout(**CLASSIFIER)
    del files[SENTENCE]
    recipe = made(tmp_path, {**files, "sentence_roberta_config.json": {**TASK, "max_seq_length": 9}})
    assert recipe.length_from == "sentence_roberta_config.json: max_seq_length"


@pytest.mark.parametrize(
    ("settings", "instruction", "use"),
    [
        ({"prompts": {"q": "query: "}, "default_prompt_name": "q"}, "query: ", "before query"),
        ({"prompts": {"q": "query: "}}, None, "before query"),
        ({"prompts": {"q": ""}, "default_prompt_name": "q"}, None, "none"),
        ({}, None, "none"),
    ],
)
def test_saved_prompts_go_before_the_query(tmp_path, settings, instruction, use):
    files = {**CLASSIFIER, "config_sentence_transformers.json": {**SETTINGS, **settings}}
    recipe = made(tmp_path, layout(**files))
    assert (recipe.instruction, recipe.instruction_use) == (instruction, use)


def test_a_saved_prompt_is_the_system_message_of_a_chat(tmp_path):
    settings = {**SETTINGS, "prompts": {"q": "judge"}, "default_prompt_name": "q"}
    recipe = made(tmp_path, layout(SCORE, **{**GENERATION, "config_sentence_transformers.json": settings}))
    assert (recipe.instruction, recipe.instruction_use) == ("judge", "slot")


@pytest.mark.parametrize(
    ("settings", "config", "activation"),
    [
        ({"activation_fn": "torch.nn.modules.linear.Identity"}, {}, "identity"),
        ({}, {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}, "Tanh"),
        ({}, {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({"activation_fn": "own.Activation"}, {}, "sigmoid"),
        ({}, {}, "sigmoid"),
    ],
)
def test_the_activation_is_told(tmp_path, settings, config, activation):
    files = {
        **CLASSIFIER,
        "config.json": {**ENCODER, **config},
        "config_sentence_transformers.json": {**SETTINGS, **settings},
    }
    assert made(tmp_path, layout(**files)).activation == activation


def test_without_modules_prompts_are_not_read(tmp_path):
    settings = {**SETTINGS, "prompts": {"q": "x"}, "default_prompt_name": "q"}
    recipe = made(tmp_path, {"config.json": ENCODER, "config_sentence_transformers.json": settings})
    assert (recipe.family, recipe.instruction) == ("cross-encoder", None)


def test_modules_of_another_kind_are_left_aside_where_the_checkpoint_has_a_head(tmp_path):
    files = layout(*ETTIN, **{"config.json": ENCODER, "config_sentence_transformers.json": {}})
    recipe = made(tmp_path, files)
    assert recipe.family == "cross-encoder"
    assert "modules.json is left aside" in recipe.notes[0]


@pytest.mark.parametrize("kept", [["2.linear", "4.linear"], ["0.model.classifier"], [], None])
def test_float32_of_the_head_is_what_podium_does_anyway(tmp_path, kept):
    settings = {**SETTINGS, "keep_in_fp32_modules": kept}
    assert made(tmp_path, layout(*ETTIN, **{"config_sentence_transformers.json": settings}))
