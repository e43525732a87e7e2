"""Chat templates are rendered as transformers renders them, within bounds of time and memory."""

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from podium.models.recipe import Chat
from podium.models.text import rendering
from podium.models.text.rendering import Messages, Renderer, RendererLost, TemplateFailed

SOURCES = {
    "roles": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}",
    "last newline": "a\n\n",
    "blocks": "  {% if true %}\n  x\n  {% endif %}\ny",
    "trim, tojson, replace": "{% for m in messages %}{{ m.content | trim | tojson }}|"
    "{{ m.content.replace('<', '&') }}{{ {'ä': [1, '<é>']} | tojson(indent=2) }}{% endfor %}",
    "namespace": "{% set ns = namespace(s='none') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.s = m.content %}{% endif %}{% endfor %}{{ ns.s }}",
    "break": "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
    "generation": "a{% generation %}b{{ messages[0].role }}{% endgeneration %}c",
    "special tokens": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ missing }}",
    "generation prompt": "{% if add_generation_prompt %}yes{% else %}no{% endif %}{{ tools }}{{ documents }}",
    "dict": "{{ dict(a=1) | tojson }}{{ 'x' is string }}{{ range(3) | list }}",
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("source", [pytest.param(text, id=name) for name, text in SOURCES.items()])
@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("system", [None, " do <this>\n"])
def test_a_template_gives_what_transformers_gives(source, structured, system):
    if structured:
        source = source.replace(".content", ".content[0].text")
    texts = [("system", system), ("query", ' a "b" '), ("document", "ü<&{漢🐼\n")]
    messages = [
        {"role": role, "content": [{"type": "text", "text": text}] if structured else text}
        for role, text in texts
        if text is not None
    ]
    arguments = {"add_generation_prompt": True}
    own, _ = render_jinja_template([messages], chat_template=source, **TOKENS, **arguments)
    with Renderer(Chat(source=source, structured=structured, arguments=arguments), TOKENS) as renderer:
        assert renderer.render([Messages(*(text for _, text in texts))] * 2) == own * 2


def refusal(source: str) -> str:
    with Renderer(Chat(source=source), {}) as renderer, pytest.raises(ValueError, match="template") as raised:
        renderer.render([Messages(None, "q", "d")])
    return str(raised.value)


LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("source", [LOOP, "{{ 9 ** (9 ** 9) }}"], ids=["rendered", "compiled"])
def test_a_template_that_never_ends_is_ended_by_its_processor_time(monkeypatch, source):
    monkeypatch.setattr(rendering, "CPU_S", 1)
    assert refusal(source) == "the chat template takes more than 1 s of processor time to render"


def test_processor_time_counts_for_each_answer(monkeypatch):
    monkeypatch.setattr(rendering, "CPU_S", 1)
    source = "{% for i in range(99999) %}{% for j in range(40) %}{% endfor %}{% endfor %}x"
    with Renderer(Chat(source=source), {}) as renderer:
        assert [renderer.render([Messages(None, "", "")]) for _ in range(12)] == [["x"]] * 12


def test_a_machine_that_is_too_busy_is_no_fault_of_the_template(monkeypatch):
    monkeypatch.setattr(rendering, "WALL_S", 0.001)
    with Renderer(Chat(source="x"), {}) as renderer:
        with pytest.raises(RendererLost, match=r"not rendered within 0.001 s.*the machine is too busy"):
            renderer.render([Messages(None, "", "")])
        monkeypatch.undo()
        assert renderer.render([Messages(None, "", "")]) == ["x"]


def test_a_template_that_fills_the_memory_is_ended():
    doubled = (
        "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
    )
    assert "MemoryError" in refusal(doubled)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ 'x' * 100000000 }}", "the chat template renders more than 16777216 bytes"),
        ("{{ raise_exception('no system message') }}", "TemplateError: no system message"),
        ("{% if %}", "TemplateSyntaxError: Expected an expression"),
        ("{{ messages[7].content }}", "UndefinedError"),
        ("x" * 300_000, "the chat template has 300000 characters, more than 262144"),
    ],
)
def test_a_template_that_fails_says_why(source, told):
    if len(source) > rendering.MOST_SOURCE:
        with pytest.raises(ValueError, match=told):
            Renderer(Chat(source=source), {})
    else:
        assert told in refusal(source)


def test_a_template_sees_nothing_of_the_process():
    assert "SecurityError" in refusal("{{ ''.__class__.__mro__[1].__subclasses__() }}")


def test_a_process_that_has_ended_fails_one_request_and_is_started_again():
    with Renderer(Chat(source="{{ messages[0].content }}"), {}) as renderer:
        assert renderer.render([Messages(None, "a", "")]) == ["a"]
        renderer._process.kill()
        renderer._process.wait()
        with pytest.raises(RendererLost, match="process was killed, often where memory is short"):
            renderer.render([Messages(None, "b", "")])
        assert renderer.render([Messages(None, "c", "")]) == ["c"]


def test_the_strings_of_a_template_are_told_but_for_keys():
    source = "it's {{ messages[0]['content'] | replace('&lt;', \"<\") }}{% if m.role == 'a\\n' %}{% endif %}"
    with Renderer(Chat(source=source), {}) as renderer:
        assert sorted(renderer.literals()) == ["&lt;", "<", "a\n"]
    with Renderer(Chat(source="{% if %}"), {}) as renderer, pytest.raises(TemplateFailed):
        renderer.literals()
