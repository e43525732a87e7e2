"""The whole data path gives the reference's logits: clipping, cutting, batches of several requests."""

import asyncio

import numpy as np
import pytest
from models.folders import CHAT
from models.oracle import DECODER, LONG, PAIRS, assert_equal, bert_tokenizer, bpe_tokenizer, expected, save

from podium.models.load import load
from podium.ranking import RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics

PANDA = "The giant panda lives in China; it eats bamboo, leaves and stems. "


def ranked(model, requests, **settings):
    """Rank requests at the same time; return the logits of each."""

    async def rank():
        reranker = Reranker(model, **{"metrics": Metrics(), "max_batch_tokens": 4_096, **settings})
        try:
            return await asyncio.gather(*map(reranker.rank, requests))
        finally:
            reranker.close()

    return [np.array(ranking.scores, np.float32) for ranking in asyncio.run(rank())]


def request(pairs, instruction=None):
    queries, documents = zip(*pairs, strict=True)
    return RankRequest(queries=queries, documents=documents, instruction=instruction, raw_scores=True)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    fast = bpe_tokenizer()
    fast.chat_template = CHAT
    return save(tmp_path_factory.mktemp("decoder"), "causal", fast, **{**DECODER, "model_type": "qwen3"})


@pytest.mark.parametrize("max_batch_tokens", [200, 4_096])
def test_requests_with_prefixes_of_their_own_share_batches_and_no_scores(decoder, max_batch_tokens):
    model = load(decoder, uri="x", device="cpu", dtype="float32")
    assert model.shares
    few = [("where do pandas live", PANDA * count) for count in (1, 3, 2, 4, 1)]
    many = [("what is a panda", PANDA * (1 + count % 3) + str(count)) for count in range(40)]
    requests = [request(PAIRS), request(few, "Judge it."), request(many), request(few)]
    got = ranked(model, requests, max_batch_tokens=max_batch_tokens, tokens_per_s=1_000, cache_bytes=2**20)
    assert_equal(got[0], expected(decoder, PAIRS))
    assert_equal(got[1], expected(decoder, few, "Judge it."))
    assert_equal(got[2], expected(decoder, many))
    assert_equal(got[3], expected(decoder, few))
    assert np.abs(got[1] - got[3]).min() > 1e-2


def test_documents_in_a_prompt_are_cut_as_in_the_reference(decoder):
    model = load(decoder, uri="x", device="cpu", dtype="float32", max_length=96)
    fronts = [("what is a panda", front + PANDA * 40) for front in (" " * 9_000, "\n" * 9_000, "x" * 9_000)]
    pairs = [*LONG, *((query, document[:4_000] + PANDA * 400) for query, document in LONG), *fronts]
    assert_equal(ranked(model, [request(pairs)])[0], expected(decoder, pairs, max_length=96))


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_encoder_keeps_the_end_of_texts_that_its_files_say(tmp_path, side):
    fast = bert_tokenizer()
    fast.truncation_side = side
    folder = save(tmp_path, "classifier", fast, model_type="bert", max_position_embeddings=128)
    model = load(folder, uri="x", device="cpu", dtype="float32")
    long = [f"{n} " + PANDA * n for n in (1, 8, 200, 3_000)]
    pairs = [(query, document) for query in ("panda", *long[:3]) for document in ("", "bear", *long)]
    assert_equal(ranked(model, [request(pairs)])[0], expected(folder, pairs, max_length=128))
