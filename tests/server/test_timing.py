"""Where the time of a request went, and what became of each of its documents."""

import re

import pytest
from fakes import INFO, FakeModel
from serving import serving

from podium.calls import Batch, Call, limits_of
from podium.ranking import RankRequest, Timing

ASK = RankRequest(queries=["q"], documents=["d"])


@pytest.mark.parametrize(
    ("tokenized_s", "batches", "told"),
    [
        pytest.param(0, [], Timing(0, 0, 0), id="from the cache"),
        pytest.param(2, [(16.0, 20.0)], Timing(4, 2, 4), id="one batch"),
        pytest.param(
            2, [(13.0, 14.0), (18.0, 20.0)], Timing(5, 2, 3), id="batches of others between its own"
        ),
        pytest.param(6, [(11.0, 20.0)], Timing(0, 6, 9), id="a batch while it is tokenized"),
        pytest.param(0, [(7.0, 19.0)], Timing(1, 0, 9), id="its pairs were in a batch already"),
    ],
)
async def test_a_call_tells_where_its_time_went(tokenized_s, batches, told):
    call = Call(ASK, limits_of(ASK, INFO), due=0, admitted=10.0)
    call.tokenized_s = tokenized_s
    for batch in batches:
        held = Batch(*batch, pairs=2, tokens=8)
        call.ran(held)  # for each of two of its pairs
        call.ran(held)
    assert call.timing(now=20.0) == told


def timing(answer):
    found = re.findall(r"(\w+);dur=(\d+\.\d\d)(?:, |$)", answer.headers["server-timing"])
    return {name: float(value) for name, value in found}


def test_an_answer_says_where_its_time_went_and_one_of_the_cache_that_it_took_none():
    with serving(FakeModel(), cache_bytes=1024 * 1024) as server:
        first = timing(server.post("/v1/rerank", {"query": "q", "documents": ["sleep=0.05", "b"]}))
        assert list(first) == ["queue", "tokenization", "inference", "total"]
        assert first["total"] >= first["inference"] >= 50
        again = timing(server.post("/v1/rerank", {"query": "q", "documents": ["sleep=0.05", "b"]}))
        assert [again[name] for name in ("queue", "tokenization", "inference")] == [0, 0, 0]


def test_an_answer_says_what_became_of_each_document():
    documents = ["w " * 100, "score=3 short"]
    with serving(FakeModel()) as server:
        answer = server.post(
            "/v2/rerank", {"query": "q", "documents": documents, "return_details": True}
        ).body
    assert [(each["index"], each["tokens"], each["truncated"]) for each in answer["results"]] == [
        (1, 4, False),
        (0, 64, True),
    ]
    assert answer["usage"]["total_tokens"] == 68
