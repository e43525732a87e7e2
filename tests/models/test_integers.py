"""The built-in model in 8-bit integers ranks as in float32."""

import json
import logging
import random

import pytest
from models.networks import BUILTIN
from models.shared import unpacked
from scipy.stats import spearmanr

from podium.errors import PermanentStartError
from podium.models import architectures
from podium.models.linear.int8 import largest_weight
from podium.models.load import load
from podium.models.readiness import self_test

pytestmark = pytest.mark.skipif(
    largest_weight() is None,
    reason="needs a processor on which oneDNN's products of 8-bit integers are exact",
)


@pytest.fixture(scope="module")
def integers():
    return load(BUILTIN, uri="builtin", dtype="int8")


def scores(model, pairs):
    queries = model.queries([query for query, _ in pairs])
    documents = model.documents([document for _, document in pairs])
    return model.score([model.pair(*texts) for texts in zip(queries, documents, strict=True)])


def test_it_ranks_200_pairs_as_in_float32(integers):
    folder = unpacked("data/xquad-en.tar.xz") / "xquad-en"
    chance = random.Random(0)
    queries, documents = (
        [json.loads(line)["text"] for line in (folder / name).read_bytes().splitlines()]
        for name in ("queries.jsonl", "corpus.jsonl")
    )
    pairs = [(chance.choice(queries), chance.choice(documents)) for _ in range(200)]
    wanted = scores(load(BUILTIN, uri="builtin", dtype="float32"), pairs)
    assert spearmanr(scores(integers, pairs), wanted).statistic >= 0.995


def test_it_says_its_dtype_and_takes_less_memory(integers):
    assert integers.info.dtype == "int8"
    assert integers.info.notes == ()
    assert self_test(integers) is None
    # its embeddings, 15.6 MB of 38 in float32, stay what they are
    assert integers.info.weights_bytes < 0.75 * load(BUILTIN, uri="x", dtype="float32").info.weights_bytes


def test_the_log_says_how_long_the_scales_took(caplog):
    with caplog.at_level(logging.INFO, "podium.models.load"):
        load(BUILTIN, uri="builtin", dtype="int8")
    assert "int8: the scales of 10 layers were taken from 39 pairs in " in caplog.text


def test_a_model_that_is_not_packed_is_refused_with_that_reason(monkeypatch):
    monkeypatch.setattr(architectures, "packable", lambda _: False)
    with pytest.raises(PermanentStartError) as caught:
        load(BUILTIN, uri="builtin", dtype="int8")
    assert caught.value.message == (
        "dtype `int8` is for models that are packed, and ElectraForSequenceClassification cannot be; set "
        "PODIUM_DTYPE to float32 or to auto"
    )
