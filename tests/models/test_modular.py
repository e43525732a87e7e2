"""modules.json and what it names become a recipe, or are refused by name; no weights are needed for it."""

from typing import Any

import pytest
from models.folders import CAUSAL, CHAT, ENCODER, tokenizer, write

from podium.errors import PermanentStartError, Reason
from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.recipe import Chat, Dense, LayerNorm, Normalize, Own, Pair, Recipe, Rows, Stack

OLD, BASE = "sentence_transformers.models", "sentence_transformers.base.modules"
TRANSFORMER = f"{BASE}.transformer.Transformer"
SETTINGS = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None}
BACKBONE = {**ENCODER, "architectures": ["ModernBertModel"], "model_type": "modernbert"}
HIDDEN = BACKBONE["hidden_size"]
POOLING = {"embedding_dimension": HIDDEN, "pooling_mode": "cls"}
FIRST = {
    "in_features": HIDDEN,
    "out_features": HIDDEN,
    "bias": False,
    "activation_function": "torch.nn.modules.activation.GELU",
}
LAST = {
    "in_features": HIDDEN,
    "out_features": 1,
    "activation_function": "torch.nn.modules.linear.Identity",
    "module_output_name": "scores",
}


def layout(*modules: tuple[str, dict[str, Any]], **files: Any) -> dict[str, Any]:
    """Return the files of a folder: modules after a Transformer, by the last part of their type."""
    entries, contents = [], {}
    for number, (kind, config) in enumerate((("Transformer", {}), *modules)):
        path = f"{number}_{kind.rpartition('.')[2]}" if number else ""
        where = kind if "." in kind else f"{BASE}.{kind.lower()}.{kind}"
        entries.append({"idx": number, "name": str(number), "path": path, "type": where})
        if path:
            contents[f"{path}/config.json"] = config
    return {
        "config.json": BACKBONE,
        "modules.json": entries,
        "config_sentence_transformers.json": SETTINGS,
        "sentence_bert_config.json": {"transformer_task": "feature-extraction"},
        "tokenizer.json": tokenizer(),
        **contents,
        **files,
    }


ETTIN = (("Pooling", POOLING), ("Dense", FIRST), ("LayerNorm", {"dimension": HIDDEN}), ("Dense", LAST))
CLASSIFIER = {
    "config.json": ENCODER,
    "sentence_bert_config.json": {"transformer_task": "sequence-classification"},
}
MESSAGES = {"message": {"method": "forward", "method_output_name": "logits", "format": "flat"}}
GENERATION = {
    "config.json": CAUSAL,
    "chat_template.jinja": CHAT,
    "sentence_bert_config.json": {
        "transformer_task": "text-generation",
        "modality_config": MESSAGES,
        "module_output_name": "causal_logits",
    },
}
SCORE = ("LogitScore", {"true_token_id": 9693, "false_token_id": 2152})


def made(folder, files: dict[str, Any]) -> Recipe:
    return recipe_of(read(write(folder, files)))


def refusal(folder, files: dict[str, Any]) -> str:
    with pytest.raises(PermanentStartError) as caught:
        made(folder, files)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    return caught.value.message


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
    assert recipe.shares_prefix
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
    assert not recipe.shares_prefix


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
        ({}, "mean"),
    ],
)
def test_pooling_is_read_in_its_old_and_new_words(tmp_path, config, state):
    assert made(tmp_path, layout(("Pooling", config), ("Dense", LAST))).state == state


@pytest.mark.parametrize("module", [f"{OLD}.Transformer", f"{OLD}.Transformer.Transformer", TRANSFORMER])
def test_only_the_last_part_of_a_type_tells(tmp_path, module):
    files = layout(*ETTIN)
    files["modules.json"][0]["type"] = module
    files["modules.json"][1]["type"] = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    assert made(tmp_path, files).family == "modular"


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


SENTENCE = "sentence_bert_config.json"
TASK = {"transformer_task": "sequence-classification"}


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


def test_a_chat_template_is_used_only_where_messages_are(tmp_path):
    files = {**CLASSIFIER, "chat_template.jinja": CHAT}
    assert made(tmp_path, layout(**files)).template == Pair()
    messages = {**TASK, "modality_config": MESSAGES, "module_output_name": "scores"}
    assert made(tmp_path, layout(**{**files, SENTENCE: messages})).template == Chat(source=CHAT)


def test_what_a_chat_template_is_given_comes_along(tmp_path):
    said = GENERATION[SENTENCE] | {
        "processing_kwargs": {
            "chat_template": {"add_generation_prompt": True, "max_length": 64, "restore_suffix": True}
        }
    }
    recipe = made(tmp_path, layout(SCORE, **{**GENERATION, SENTENCE: said}))
    assert recipe.template == Chat(source=CHAT, arguments={"add_generation_prompt": True})
    assert recipe.length_from == "sentence_bert_config.json: processing_kwargs.chat_template.max_length"


def test_structured_messages_are_told_by_the_template_or_the_file(tmp_path):
    parts = CHAT.replace('m["content"]', 'm["content"][0]["text"]') + "{# item.type #}"
    files = {"config.json": CAUSAL, "tokenizer.json": tokenizer(), "chat_template.jinja": parts}
    assert made(tmp_path, files).template == Chat(source=parts, structured=True)
    loop = CHAT.replace('m["content"]', 'm["content"]|map(attribute="text")|join')
    messages = {**MESSAGES["message"], "format": "structured"}
    said = {**GENERATION[SENTENCE], "modality_config": {"message": messages}}
    recipe = made(tmp_path, layout(SCORE, **{**GENERATION, SENTENCE: said, "chat_template.jinja": loop}))
    assert recipe.template == Chat(source=loop, structured=True)


def test_without_modules_a_chat_template_makes_a_language_model_say_yes_or_no(tmp_path):
    recipe = made(
        tmp_path, {"config.json": CAUSAL, "tokenizer.json": tokenizer(), "chat_template.jinja": CHAT}
    )
    assert recipe.head == Rows(source="vocabulary", true=9693, false=2152)
    assert recipe.recognised_by == (
        "the chat template of chat_template.jinja, with the roles query and document"
    )
    assert recipe.instruction_use == "slot"


def test_without_modules_a_chat_template_is_used_by_a_classifier_too(tmp_path):
    config = {**CAUSAL, "architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    recipe = made(tmp_path, {"config.json": config, "chat_template.jinja": CHAT})
    assert (recipe.template, recipe.head) == (Chat(source=CHAT), Rows(source="score", true=0))


PASSES = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def test_a_template_that_passes_any_role_is_a_classifier_s_but_no_language_model_s(tmp_path):
    config = {**CAUSAL, "architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    recipe = made(tmp_path, {"config.json": config, "chat_template.jinja": PASSES})
    assert recipe.template == Chat(source=PASSES)
    files = {"config.json": CAUSAL, "chat_template.jinja": PASSES, "tokenizer.json": tokenizer()}
    assert "a chat template that does not name the roles query and document" in refusal(tmp_path, files)
    assert recipe_of(read(tmp_path), "modular").template == Chat(source=PASSES)


@pytest.mark.parametrize(
    "template",
    ["{{ messages[0]['content'] }}", "{{ raise_exception('no') }}", "{% if %}", "{{ 9 ** 9 ** 9 }}"],
    ids=["one of two", "raises", "no template", "too long"],
)
def test_a_template_that_carries_no_pair_counts_as_none(tmp_path, template):
    recipe = made(tmp_path, {"config.json": ENCODER, "chat_template.jinja": template})
    assert (recipe.family, recipe.template) == ("cross-encoder", Pair())


def test_without_modules_prompts_are_not_read(tmp_path):
    settings = {**SETTINGS, "prompts": {"q": "x"}, "default_prompt_name": "q"}
    recipe = made(tmp_path, {"config.json": ENCODER, "config_sentence_transformers.json": settings})
    assert (recipe.family, recipe.instruction) == ("cross-encoder", None)


def test_modules_of_another_kind_are_left_aside_where_the_checkpoint_has_a_head(tmp_path):
    files = layout(*ETTIN, **{"config.json": ENCODER, "config_sentence_transformers.json": {}})
    recipe = made(tmp_path, files)
    assert recipe.family == "cross-encoder"
    assert "modules.json is left aside" in recipe.notes[0]


def test_a_chat_template_counts_beside_modules_that_do_not(tmp_path):
    files = layout(*ETTIN, **{"config.json": ENCODER, "config_sentence_transformers.json": {}})
    recipe = made(tmp_path, {**files, "chat_template.jinja": CHAT})
    assert (recipe.template, recipe.head) == (Chat(source=CHAT), Own())
    assert "modules.json is left aside" in recipe.notes[0]


def test_modules_of_another_kind_are_refused_where_it_has_none(tmp_path):
    message = refusal(tmp_path, layout(*ETTIN, **{"config_sentence_transformers.json": {}}))
    assert "holds a SentenceTransformer by its modules.json" in message
    assert "it makes embeddings and scores no pairs" in message


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


@pytest.mark.parametrize("kept", [["2.linear", "4.linear"], ["0.model.classifier"], [], None])
def test_float32_of_the_head_is_what_podium_does_anyway(tmp_path, kept):
    settings = {**SETTINGS, "keep_in_fp32_modules": kept}
    assert made(tmp_path, layout(*ETTIN, **{"config_sentence_transformers.json": settings}))
