"""Each family's prompt is its vendor's, to the last newline."""

import pytest
from models.families.configs import CTXL, GEMMA, NEMOTRON, QWEN2, QWEN3, ZERANK, made
from models.folders import CAUSAL

from podium.models.recipe import Recipe, Written


def rendered(recipe: Recipe, query: str, document: str, instruction: str | None) -> str:
    """Return a written template filled in, by nothing of Podium's text code."""
    assert isinstance(recipe.template, Written)
    texts = {"query": query, "document": document, "instruction": instruction or recipe.instruction}
    parts = []
    for part in recipe.template.parts:
        if isinstance(part, str):
            parts.append(part)
        elif texts[part.slot] is not None:
            text = texts[part.slot].strip() if part.strip else texts[part.slot]
            parts.append(part.before + text + part.after)
    return "".join(parts)


JUDGE = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n"
)
QWEN = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)


@pytest.mark.parametrize(
    ("config", "name", "instruction", "text"),
    [
        (
            QWEN3,
            "",
            None,
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
            'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
            "<|im_start|>user\n"
            "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
            "<Query>: Q\n<Document>:  D\n<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        ),
        (
            QWEN2,
            "mixedbread-ai/mxbai-rerank-base-v2",
            None,
            f"{QWEN}query: Q\ndocument:  D\n\n{JUDGE}",
        ),
        (
            QWEN2,
            "mixedbread-ai/mxbai-rerank-base-v2",
            "I",
            f"{QWEN}instruction: I\nquery: Q\ndocument:  D\n\n{JUDGE}",
        ),
        (
            GEMMA,
            "BAAI/bge-reranker-v2-gemma",
            None,
            "A: Q\nB:  D\n\nGiven a query A and a passage B, determine whether the passage contains an "
            "answer to the query by providing a prediction of either 'Yes' or 'No'.",
        ),
        (NEMOTRON, "", None, "question:Q \n \n passage: D\n"),
        (
            CAUSAL,
            ZERANK,
            None,
            "<|im_start|>system\nQ<|im_end|>\n<|im_start|>user\nD<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            CAUSAL,
            CTXL,
            None,
            "Check whether a given document contains information helpful to answer the query.\n"
            "<Document>  D\n\n<Query> Q ??",
        ),
        (
            CAUSAL,
            CTXL,
            "I",
            "Check whether a given document contains information helpful to answer the query.\n"
            "<Document>  D\n\n<Query> Q I ??",
        ),
    ],
)
def test_the_prompt_is_the_vendor_s_to_the_last_newline(tmp_path, config, name, instruction, text):
    assert rendered(made(tmp_path, config, name=name), "Q", " D\n", instruction) == text
