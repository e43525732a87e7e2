"""A chat template that carries query and document is used beside modules.json, and without it."""

import pytest
from models.folders import CAUSAL, CHAT, ENCODER, tokenizer
from models.modules import (
    CLASSIFIER,
    ETTIN,
    GENERATION,
    MESSAGES,
    SCORE,
    SENTENCE,
    TASK,
    layout,
    made,
    refusal,
)

from podium.errors import TemporaryStartError
from podium.models.families.table import recipe_of
from podium.models.folder import read
from podium.models.load import load
from podium.models.recipe import Chat, Own, Pair, Rows
from podium.models.text import rendering
from podium.models.text.rendering import RendererLost


def test_a_chat_template_is_used_only_where_messages_are(tmp_path):
    files = {**CLASSIFIER, "chat_template.jinja": CHAT}
    assert made(tmp_path, layout(**files)).template == Pair()
    messages = {**TASK, "modality_config": MESSAGES, "module_output_name": "scores"}
    assert made(tmp_path, layout(**{**files, SENTENCE: messages})).template == Chat(source=CHAT)


def test_what_a_chat_template_is_given_comes_along(tmp_path):
    said = GENERATION[SENTENCE] | {
        "processing_kwargs": {
            "chat_template": {
                "add_generation_prompt": True,
                "continue_final_message": False,
                "max_length": 64,
                "restore_suffix": True,
            }
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
    [
        "{{ messages[0]['content'] }}",
        "{{ raise_exception('no') }}",
        "{% if %}",
        "{{ strftime_now('%d %b') }}{{ messages[0]['content'] }}",
        "{{ strftime_now('%d %b') }}{{ raise_exception('no') }}",
    ],
    ids=["one of two", "raises", "no template", "dated, one of two", "dated, raises"],
)
def test_a_template_that_carries_no_pair_counts_as_none(tmp_path, template):
    recipe = made(tmp_path, {"config.json": ENCODER, "chat_template.jinja": template})
    assert (recipe.family, recipe.template) == ("cross-encoder", Pair())


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ 9 ** (9 ** 9) }}", "takes more than 2 s of processor time to render"),
        ("{{ 'x' * 20000000 }}", "renders more than 16777216 bytes"),
        (
            "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "Memory",
        ),
    ],
    ids=["time", "output", "memory"],
)
def test_a_template_of_which_nobody_can_know_whether_it_carries_a_pair_is_refused(
    tmp_path, monkeypatch, template, told
):
    monkeypatch.setattr(rendering, "CPU_S", 2)
    said = refusal(tmp_path, {"config.json": ENCODER, "chat_template.jinja": template})
    assert told in said
    assert said.endswith("or set PODIUM_FAMILY=cross-encoder, which reads the tokenizer's own pair")


def test_a_busy_machine_refuses_for_now_and_changes_no_family(tmp_path, monkeypatch):
    config = {**CAUSAL, "architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    files = {"config.json": config, "chat_template.jinja": f"{CHAT}{{# busy #}}"}
    monkeypatch.setattr(rendering, "WALL_S", 0.001)
    with pytest.raises(RendererLost, match="the machine is too busy"):
        made(tmp_path, files)
    with pytest.raises(TemporaryStartError, match="the machine is too busy"):
        load(tmp_path, uri="x")
    monkeypatch.undo()
    assert made(tmp_path, files).template == Chat(source=files["chat_template.jinja"])


def test_a_template_that_asks_for_the_date_is_refused_unless_it_is_set(tmp_path):
    dated = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b') %}{% endif %}"
    template = f"{dated}Today: {{{{ date_string }}}}\n{CHAT}"
    files = {**GENERATION, "chat_template.jinja": template}
    assert "it asks for the day's date (strftime_now)" in refusal(tmp_path, layout(SCORE, **files))
    said = GENERATION[SENTENCE] | {"processing_kwargs": {"chat_template": {"date_string": "26 Jul 2024"}}}
    recipe = made(tmp_path, layout(SCORE, **{**files, SENTENCE: said}))
    assert recipe.template == Chat(source=template, arguments={"date_string": "26 Jul 2024"})


def test_a_classifier_with_a_dated_template_and_no_modules_is_told_of_the_tokenizer_s_pair(tmp_path):
    files = {"config.json": ENCODER, "chat_template.jinja": f"{{{{ strftime_now('%d %b') }}}}{CHAT}"}
    told = "or set PODIUM_FAMILY=cross-encoder, which reads the tokenizer's own pair"
    assert refusal(tmp_path, files).endswith(told)
    assert recipe_of(read(tmp_path), "cross-encoder").template == Pair()


def test_a_chat_template_counts_beside_modules_that_do_not(tmp_path):
    files = layout(*ETTIN, **{"config.json": ENCODER, "config_sentence_transformers.json": {}})
    recipe = made(tmp_path, {**files, "chat_template.jinja": CHAT})
    assert (recipe.template, recipe.head) == (Chat(source=CHAT), Own())
    assert "modules.json is left aside" in recipe.notes[0]
