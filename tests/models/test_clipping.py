"""How much of long texts is read, against Sentence Transformers: the built-in model, the whole data path."""

import asyncio

import numpy as np
import pytest
import torch
from models.networks import BUILTIN
from sentence_transformers import CrossEncoder

from podium.errors import PairTooLong
from podium.models.load import load
from podium.ranking import RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics

QUERY = "how do pandas live"
ANSWER = "Pandas live in the mountains of China and eat bamboo."
OTHER = "The weather is nice today."
FRONTS = {
    "blanks": " " * 70_000,
    "newlines": "\n" * 70_000,
    "NULs": "\0" * 70_000,
    "zero-width spaces": "\u200b" * 70_000,
    "one word": "x" * 70_000 + " ",
    "blanks up to 1 MiB": " " * (1024 * 1024 - 100),
}


@pytest.fixture(scope="module")
def model():
    return load(BUILTIN, uri="builtin", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def reference():
    return CrossEncoder(str(BUILTIN), device="cpu", model_kwargs={"dtype": torch.float32})


def ranked(model, queries, documents, **fields):
    async def rank():
        reranker = Reranker(model, metrics=Metrics(), max_batch_tokens=4_096)
        try:
            request = RankRequest(queries=queries, documents=documents, raw_scores=True, **fields)
            return await reranker.rank(request)
        finally:
            reranker.close()

    return asyncio.run(rank())


def predicted(reference, pairs):
    return reference.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_what_stands_before_the_words_of_a_document_does_not_cost_them(model, reference, front):
    documents = [front + ANSWER, front + OTHER]
    ranking = ranked(model, [QUERY], documents, truncate=False)
    expected = predicted(reference, [(QUERY, document) for document in documents])
    assert np.allclose(ranking.scores, expected, atol=1e-4)
    assert ranking.order == [0, 1]
    assert ranking.usage.truncated_documents == 0


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_nor_those_of_a_query(model, reference, front):
    ranking = ranked(model, [front + QUERY], [ANSWER, OTHER])
    expected = predicted(reference, [(front + QUERY, ANSWER), (front + QUERY, OTHER)])
    assert np.allclose(ranking.scores, expected, atol=1e-4)


def words(count: int, seed: int) -> str:
    known = f"{QUERY} {ANSWER} {OTHER}".replace(".", "").lower().split()
    return " ".join(np.random.default_rng(seed).choice(known, count))


@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_of_every_length_are_cut_as_the_reference_cuts_them(model, reference, side):
    lengths = [0, 1, 3, 60, 61, 62, 63, 64, 65, 130, 600, 50_000]
    pairs = [
        (f"pandas {words(query, 1)}", words(document, 2))
        for query in lengths
        for document in lengths
        if query < 50_000 or document < 70
    ]
    reference.tokenizer.truncation_side = side
    try:
        expected = predicted(reference, pairs)
    finally:
        reference.tokenizer.truncation_side = "right"
    scores = ranked(model, *(list(texts) for texts in zip(*pairs, strict=True)), truncate_side=side).scores
    assert np.abs(scores - expected).max() < 1e-4 * max(1, np.ptp(expected))


def test_a_pair_that_may_not_be_cut_is_refused_in_true_words(model):
    limit = model.info.max_length
    with pytest.raises(PairTooLong) as refused:
        ranked(model, [QUERY], [ANSWER, words(50_000, 3)], truncate=False)
    assert refused.value.message.startswith("document 1 and the query need at least ")
    assert refused.value.message.endswith(f", the limit is {limit}; shorten the document or allow truncation")
    assert refused.value.tokens > limit
    with pytest.raises(PairTooLong) as refused:
        ranked(model, [QUERY], [" " * 2_000_000 + ANSWER], truncate=False)
    assert refused.value.message == (
        "document 0 or the query has more than 1048576 characters, of which no more are read; "
        "shorten it or allow truncation"
    )


def test_what_is_beyond_1_mib_of_characters_is_cut_and_counted(model):
    ranking = ranked(model, [QUERY], [" " * 2_000_000 + ANSWER, " " * 1_000_000 + ANSWER])
    assert ranking.usage.truncated_documents == 1
    assert ranking.scores[1] > ranking.scores[0]
