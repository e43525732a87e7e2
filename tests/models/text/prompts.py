"""Prompts on tokenizers of each kind, for tests."""

import functools

import msgspec
from models.text import backends

from podium.models.base import Encoding, Tokens
from podium.models.families import bge_gemma, ctxl_v2, mxbai_v2, nemotron, qwen3_reranker, zerank
from podium.models.recipe import Chat, Hole, Recipe, Template, Written
from podium.models.text.tokenizer import PromptTokenizer, make

FAMILIES = {
    "qwen3": (backends.qwen3, qwen3_reranker.TEMPLATE),
    "mxbai": (backends.qwen3, mxbai_v2.TEMPLATE),
    "zerank2": (backends.qwen3, zerank.TEMPLATE),
    "ctxl": (backends.qwen3, ctxl_v2.TEMPLATE),
    "nemotron": (backends.llama3, nemotron.TEMPLATE),
    "gemma": (backends.llama3, bge_gemma.TEMPLATE),
}

SMALL = Written(
    parts=(
        "<|im_start|>Query: ",
        Hole("query"),
        Hole("instruction", before=" (", after=")"),
        "\nDocument: ",
        Hole("document"),
        "\nRelevant?<|im_end|>\n",
    )
)

ROLES = (
    "{% for m in messages if m.role == 'system' %}<|im_start|>{{ m.content }}\n{% endfor %}"
    "Query: {{ (messages | selectattr('role', 'eq', 'query') | first).content FILTER }}\n"
    "Document: {{ (messages | selectattr('role', 'eq', 'document') | first).content FILTER }}<|im_end|>\n\n"
)


def chat(filters: str = "", source: str = ROLES) -> Chat:
    return Chat(source=source.replace("FILTER", filters))


def small(template: Template = SMALL, max_length: int = 512, **fields) -> PromptTokenizer:
    """A prompt on a small tokenizer, read by a decoder."""
    fields = {"attention": "causal", "instruction_use": "slot", **fields}
    recipe = Recipe(family="x", recognised_by="x", template=template, **fields)
    key = msgspec.json.encode((recipe, max_length))
    if key not in MADE:
        MADE[key] = make(backends.byte_level(), recipe, max_length, segments=False)
    return MADE[key]


MADE: dict[bytes, PromptTokenizer] = {}


@functools.cache
def family(name: str) -> PromptTokenizer:
    backend, template = FAMILIES[name]
    recipe = Recipe(
        family=name, recognised_by="x", template=template, attention="causal", instruction_use="slot"
    )
    return make(backend(), recipe, 8192, segments=False)


def pair(tokenizer, query: str, document: str, instruction: str | None = None) -> Encoding:
    (asked,) = tokenizer.queries([query], instruction=instruction)
    return tokenizer.pair(asked, *tokenizer.documents([document]))


def ids(text: str) -> list[int]:
    """The tokens of a whole prompt, by the small tokenizer."""
    return backends.byte_level().encode(text, add_special_tokens=False).ids


LONG = "The giant panda is a bear. Does it eat bamboo? " * 30


def sliced(tokens: Tokens, start: int, stop: int) -> Tokens:
    """What the fitting leaves of a text."""
    offsets = None if tokens.offsets is None else tokens.offsets[start:stop]
    return tokens._replace(
        ids=tokens.ids[start:stop], offsets=offsets, begins=start == 0, ends=stop >= len(tokens.ids)
    )


TWICE = Written(
    parts=(
        "Query: ",
        Hole("query"),
        "\nDocument: ",
        Hole("document"),
        "\nAgain: ",
        Hole("document"),
        "<|im_end|>",
    )
)

NEIGHBOURS = Written(parts=("<|im_start|>", Hole("query"), Hole("document"), "<|im_end|>\n"))
