"""The configs that vendors publish, where they are at hand, are recognised or refused as they should be."""

import pytest
from models import shared
from models.families.configs import (
    made,
    refusal,
)

REAL = {
    "bge-reranker-base": "cross-encoder",
    "bge-reranker-large": "cross-encoder",
    "bge-reranker-v2-m3": "cross-encoder",
    "gte-multilingual-reranker-base": "gte-multilingual",
    "gte-reranker-modernbert-base": "cross-encoder",
    "jina-reranker-v2-base-multilingual": "jina-reranker-v2",
    "llama-nemotron-rerank-1b-v2": "llama-nemotron-rerank",
    "llama-nemotron-rerank-vl-1b-v2": "llama-nemotron-rerank",
    "ms-marco-MiniLM-L6-v2": "cross-encoder",
    "mxbai-rerank-base-v1": "cross-encoder",
    "mxbai-rerank-base-v2-seq": "mxbai-rerank-v2",
    "mxbai-rerank-large-v1": "cross-encoder",
    "mxbai-rerank-xsmall-v1": "cross-encoder",
    "qwen3-reranker-0.6b": "qwen3-reranker",
    "qwen3-reranker-0.6b-seq-cls": "qwen3-reranker",
    "qwen3-reranker-4b-seq": "qwen3-reranker",
    "qwen3-reranker-8b": "qwen3-reranker",
}


@pytest.mark.parametrize("name", REAL)
def test_real_configs_are_recognised(tmp_path, name):
    assert made(tmp_path, shared.config(name)).family == REAL[name]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("jina-reranker-v3", "listwise"),
        ("jina-reranker-v1-turbo-en", "brings its own code"),
        ("mxbai-rerank-large-v2", "exact name"),
    ],
)
def test_real_configs_that_cannot_be_scored_are_refused(tmp_path, name, named):
    assert named in refusal(tmp_path, shared.config(name))
