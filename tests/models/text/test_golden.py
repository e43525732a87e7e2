"""The token ids of one pair per family: as they were read when they were written down, and as its reference
reads them now.

`PYTHONPATH=tests python tests/models/text/test_golden.py` writes them anew: read the difference before you
commit it.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from models import shared
from models.text import backends
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from podium.models.families import bge_gemma, ctxl_v2, mxbai_v2, nemotron, qwen3_reranker, zerank
from podium.models.recipe import Pair, Recipe, Template
from podium.models.text.tokenizer import make

GOLDEN = Path(__file__).parent / "golden.json"

QUERY = "What do pandas eat?"
DOCUMENT = 'The giant panda (大熊猫) isn\'t picky:\n\n  <p>it eats "bamboo", 12 kg a day!</p>\n'
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

REFERENCES: dict[str, Callable[[Tokenizer], list[int]]] = {}


def reference(family):
    REFERENCES[family.__name__] = family
    return family


def read(backend: Tokenizer, text: str) -> list[int]:
    return backend.encode(text, add_special_tokens=False).ids


@reference
def qwen3(backend):
    """QwenLM/Qwen3-Embedding, README: prefix and suffix are tokenized by themselves."""
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    body = f"<Instruct>: {INSTRUCTION}\n<Query>: {QUERY}\n<Document>: {DOCUMENT}"
    ids = [read(backend, text) for text in (prefix, body, suffix)]
    assert (len(ids[0]), len(ids[2])) == (39, 9)
    return [number for piece in ids for number in piece]


@reference
def mxbai(backend):
    """vLLM, mxbai_rerank_v2.jinja, and mixedbread's own place for instructions."""
    return read(
        backend,
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\ninstruction: {INSTRUCTION}\nquery: {QUERY}\ndocument: {DOCUMENT}\nYou are a "
        "search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your "
        "binary relevance judgment "
        "(0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n",
    )


@reference
def zerank2(backend):
    """Its model card: the query as system message, the document as user message, in Qwen3's own template."""
    tokenizer = AutoTokenizer.from_pretrained(shared.tokenizer("qwen3-0.6b"))
    messages = [("system", QUERY.strip()), ("user", DOCUMENT.strip())]
    text = tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    return read(backend, text)


@reference
def ctxl(backend):
    """Its model card, `format_prompts`."""
    return backend.encode(
        "Check whether a given document contains information helpful to answer the query.\n"
        f"<Document> {DOCUMENT}\n<Query> {QUERY} {INSTRUCTION} ??"
    ).ids


@reference
def nemotron1b(backend):
    """vLLM, nemotron-rerank.jinja; Llama 3's tokenizer puts its first token before a text."""
    ids = backend.encode(f"question:{QUERY} \n \n passage:{DOCUMENT}").ids
    assert ids[0] == backend.token_to_id("<|begin_of_text|>")
    return ids


@reference
def gemma(backend):
    """FlagEmbedding, decoder_only/base.py: pieces, behind the first token."""
    pieces = (f"A: {QUERY}", "\n", f"B: {DOCUMENT}", "\n", INSTRUCTION)
    return [backend.encode("").ids[0], *(number for piece in pieces for number in read(backend, piece))]


@reference
def bert(backend):
    return backend.encode(QUERY, DOCUMENT).ids


@reference
def roberta(backend):
    return backend.encode(QUERY, DOCUMENT).ids


@reference
def neox(backend):
    return backend.encode(QUERY, DOCUMENT).ids


class Family(NamedTuple):
    """What reads a family's pairs: its tokenizer, or where that is not at hand another one of its kind."""

    backend: Callable[[], Tokenizer]
    template: Template
    causal: bool = True


FAMILIES = {
    "qwen3": Family(backends.qwen3, qwen3_reranker.TEMPLATE),
    "mxbai": Family(backends.qwen3, mxbai_v2.TEMPLATE),
    "zerank2": Family(backends.qwen3, zerank.TEMPLATE),
    "ctxl": Family(backends.qwen3, ctxl_v2.TEMPLATE),
    "nemotron1b": Family(backends.llama3, nemotron.TEMPLATE, causal=False),
    "gemma": Family(backends.llama3, bge_gemma.TEMPLATE),
    "bert": Family(backends.bert, Pair(), causal=False),
    "roberta": Family(backends.roberta, Pair(), causal=False),
    "neox": Family(backends.neox, Pair(), causal=False),
}


@functools.cache
def read_by_podium(name: str) -> list[int]:
    family = FAMILIES[name]
    recipe = Recipe(
        family=name,
        recognised_by="x",
        template=family.template,
        attention="causal" if family.causal else "bidirectional",
        instruction=INSTRUCTION,
        instruction_use="none" if isinstance(family.template, Pair) else "slot",
    )
    tokenizer = make(family.backend(), recipe, 8192, segments=False)
    return tokenizer.pair(*tokenizer.queries([QUERY]), *tokenizer.documents([DOCUMENT])).ids.tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_pair_is_read_as_its_reference_reads_it(name):
    assert read_by_podium(name) == REFERENCES[name](FAMILIES[name].backend())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_pair_is_read_as_it_always_was(name):
    assert read_by_podium(name) == json.loads(GOLDEN.read_text())[name]


def test_the_last_newlines_of_a_template_are_read():
    """Jinja drops the last newline of a template's file; without it a decoder answers to another prompt."""
    newlines = {"qwen3": "</think>\n\n", "mxbai": "assistant\n", "zerank2": "assistant\n"}
    backend = backends.qwen3()
    for name, end in newlines.items():
        last = read(backend, end)[-1]
        assert read_by_podium(name)[-1] == last
        assert "\n" in backend.decode([last])


if __name__ == "__main__":
    lines = (f"  {json.dumps(name)}: {json.dumps(read_by_podium(name))}" for name in FAMILIES)
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
