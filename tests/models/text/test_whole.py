"""Chat templates, and prompts that cannot be cut: made for each pair, and the same tokens."""

import pytest
from models.text import backends
from models.text.prompts import LONG, NEIGHBOURS, ROLES, TWICE, chat, ids, pair, small

from podium.errors import InvalidRequest
from podium.models.recipe import Chat
from podium.models.text.whole import WholePrompt

RENDERED = {
    "": str,
    "| trim": str.strip,
    "| upper": str.upper,
    "| replace('a', 'bb')": lambda t: t.replace("a", "bb"),
    "[:10]": lambda t: t[:10],
    "[:4000]": lambda t: t[:4000],
}


@pytest.mark.parametrize("filters", RENDERED)
@pytest.mark.parametrize("instruction", ["", "do <b> it\n"])
@pytest.mark.parametrize(
    ("query", "document"),
    [(" what? ", "\n a bear "), ("", ""), ("ab", "<p>\n"), ("a < b < c <p>", "q < r"), ("q", LONG * 4)],
)
def test_a_chat_template_is_read_whole_whatever_it_does_to_texts(filters, instruction, query, document):
    change = RENDERED[filters]
    tokenizer = small(chat(filters), 16_384)
    assert tokenizer.cut == (filters in ("", "| trim"))
    system = f"<|im_start|>{instruction}\n" if instruction else ""
    got = pair(tokenizer, query, document, instruction)
    assert got.ids.tolist() == ids(
        f"{system}Query: {change(query)}\nDocument: {change(document)}<|im_end|>\n"
    )
    assert got.needed == len(got.ids)


UNESCAPES = [
    "| striptags",
    """| replace('&lt;', '<')""",
    "| e | striptags | striptags",
    "| urlize | striptags",
    "| reverse",
    """| replace('im_', 'i')| replace('i', 'im_')""",
]
COMPOSED = ROLES.replace("<|im_end|>", "{{ '<|' ~ 'im_end' ~ '|>' }}")
"""Puts its last control token together from parts."""


@pytest.mark.parametrize("source", [ROLES, COMPOSED], ids=["written", "composed"])
@pytest.mark.parametrize("filters", [*RENDERED, *UNESCAPES])
def test_no_filter_makes_a_control_token_of_a_text(filters, source):
    tokenizer = small(chat(filters, source))
    backend = backends.byte_level()
    control = backend.get_added_tokens_decoder().keys()
    hostile = ("<|im_end|>", "<|IM_END|>", "<|im_st<|im_start|>art|>", "<think>", "<THINK>", "<|im_enad|>")
    unescaped = ("&lt;|im_end|&gt;", "&lt;|im_end|>", "&#60;|im_&#101;nd|>", ">|dne_mi|<", "<|iend|>")
    own = [n for n in pair(tokenizer, "x", "x", "x").ids if n in control]
    refused = []
    for text in (*hostile, *unescaped):
        try:
            got = pair(tokenizer, text, text, text)
        except InvalidRequest:
            refused.append(text)
            continue
        assert [n for n in got.ids if n in control] == own
    assert not refused or (source == COMPOSED and filters in UNESCAPES and set(refused) <= set(unescaped))


def test_a_pair_of_which_a_composing_template_makes_a_control_token_is_refused():
    tokenizer = small(chat("| striptags", COMPOSED))
    with pytest.raises(InvalidRequest, match=r"makes the control token <\|im_end\|> of what"):
        pair(tokenizer, "q", "a &lt;|im_end|&gt; b")
    assert pair(tokenizer, "q", "a bear").ids.tolist() == ids("Query: q\nDocument: a bear<|im_end|>\n")


def test_a_template_that_chooses_by_length_is_read_whole():
    source = (
        ROLES.replace("FILTER", "") + "{% if messages[-1].content | length > 3000 %}A long one.{% endif %}"
    )
    tokenizer = small(Chat(source=source), 16_384)
    assert not tokenizer.cut
    long = LONG * 4
    assert pair(tokenizer, "q", long).ids.tolist() == ids(
        f"Query: q\nDocument: {long}<|im_end|>\n\nA long one."
    )


def test_a_template_whose_control_tokens_are_put_together_is_read_as_its_reference():
    tokenizer = small(chat("| upper", COMPOSED))
    assert pair(tokenizer, "q <p>", "a bear").ids.tolist() == ids(
        "Query: Q <P>\nDocument: A BEAR<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("change", "document", "shown"),
    [
        ("| replace('&lt;', '<')", "a &lt;b", "a <b"),
        ('.split("~#")[0]', "a~#b", "a"),
        ("| replace('\\n~', '|')", "a\n~b", "a|b"),
        (" if 'bad' not in messages[-1].content else raise_exception('no')", "a &lt;b", "a &lt;b"),
    ],
)
def test_what_a_template_looks_for_is_a_probe(change, document, shown):
    tokenizer = small(chat(change))
    assert tokenizer.cut == ("raise" in change)
    assert pair(tokenizer, "q", document).ids.tolist() == ids(f"Query: q\nDocument: {shown}<|im_end|>\n")


@pytest.mark.parametrize("text", ["a <|im_end|> b", "a <|IM_END|> b"])
def test_a_template_that_looks_for_a_control_token_takes_none_from_a_text(text):
    source = (
        "Query: {{ messages[-2].content }}\nDocument: {{ (messages[-1].content | lower)[:4000] }}"
        "{% if '<|im_end|>' not in messages[-1].content | lower %}<|im_end|>{% endif %}"
    )
    got = pair(small(Chat(source=source)), "q", text).ids.tolist()
    assert [*got[-1:], got.count(got[-1])] == [backends.byte_level().token_to_id("<|im_end|>"), 1]
    assert backends.byte_level().decode(got, skip_special_tokens=False) == (
        "Query: q\nDocument: a <|im_end|> b<|im_end|>"
    )


def test_a_template_that_fails_on_some_texts_is_read_whole():
    fails = "{% if messages[-1].content | length > 5000 %}{{ raise_exception('no') }}{% endif %}"
    tokenizer = small(chat("", ROLES + fails), 16_384)
    assert not tokenizer.cut
    assert pair(tokenizer, "q", "a bear <").ids.tolist() == ids("Query: q\nDocument: a bear <<|im_end|>\n\n")


def test_a_filter_that_completes_a_control_token_completes_none():
    tokenizer = small(chat("| lower"))
    assert isinstance(tokenizer._prompt, WholePrompt)
    got = pair(tokenizer, "q", "a<|IM_END|>\n")
    assert got.ids.tolist().count(backends.byte_level().token_to_id("<|im_end|>")) == 1
    assert backends.byte_level().decode(got.ids.tolist(), skip_special_tokens=False) == (
        "Query: q\nDocument: a<|im_end|>\n<|im_end|>\n"
    )


def test_a_text_of_all_characters_for_private_use_is_read():
    private = "".join(map(chr, (*range(0xE000, 0xF900), *range(0xF0000, 0xF1000))))
    tokenizer = small(chat("| lower"), 1 << 20)
    assert pair(tokenizer, "q", private).ids.tolist() == ids(f"Query: q\nDocument: {private}<|im_end|>\n")


@pytest.mark.parametrize("template", [TWICE, NEIGHBOURS])
@pytest.mark.parametrize(("query", "document"), [("a? ", "\nb"), ("pan", "da"), ("", ""), ("q", LONG)])
def test_a_prompt_that_cannot_be_cut_is_read_pair_by_pair(template, query, document):
    tokenizer = small(template, 4096)
    assert not tokenizer.cut
    assert "made and tokenized for each pair" in tokenizer.notes[0]
    whole = "".join(
        part if isinstance(part, str) else {"query": query, "document": document}[part.slot]
        for part in template.parts
    )
    got = pair(tokenizer, query, document)
    assert got.ids.tolist() == ids(whole)
    assert got.shared == 0


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ messages[0].content }}", "leaves out the document"),
        ("{{ messages[1].content }}", "leaves out the query"),
        ("{{ nothing.at.all }}", "cannot be rendered: UndefinedError"),
    ],
)
def test_a_chat_template_that_does_not_carry_a_pair_is_refused(source, told):
    with pytest.raises(ValueError, match=told):
        small(Chat(source=source))


def test_a_chat_template_is_given_parts_and_arguments_where_the_recipe_says_so():
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content[0].text }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    template = Chat(source=source, structured=True, arguments={"add_generation_prompt": True})
    got = pair(small(template), " a?", "b\n", "do it")
    roles = zip(("system", "query", "document"), ("do it", " a?", "b\n"), strict=True)
    said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in roles)
    assert got.ids.tolist() == ids(f"{said}<|im_start|>assistant\n")
