"""Every API over a real socket: any number of documents, equal, empty, long and odd ones."""

import re
from collections.abc import Iterator

import pytest
from dialects.checks import EACH, assert_ranked, each, rank
from dialects.speech import SPEECHES, Speech
from fakes import FakeModel
from serving import Serving, serving

from podium.dialects import table
from podium.dialects.base import Dialect


def test_every_dialect_is_spoken() -> None:
    spoken = {rule.dialect.name for rules in table.ROUTES.values() for rule in rules}
    assert {speech.dialect for speech in SPEECHES} == spoken


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(FakeModel()) as running:
        yield running


@pytest.mark.parametrize(
    ("speech", "count"),
    [
        pytest.param(speech, count, id=f"{speech.dialect} {speech.path} {count}")
        for speech in SPEECHES
        for count in (1, 33, 100, 1000, 2048)
        if count <= speech.most
    ],
)
def test_any_number_of_documents_is_ranked_whole(server: Serving, speech: Speech, count: int) -> None:
    logits = [(index * 37 % count) / 100 - 5 for index in range(count)]
    answer = rank(server, speech, [f"score={logit}" for logit in logits])
    assert_ranked(speech, answer, logits)


@EACH
def test_equal_documents_keep_their_order(server: Serving, speech: Speech) -> None:
    logits = [1.5, 2.5, 1.5, 2.5, 1.5][: speech.most]
    assert_ranked(speech, rank(server, speech, [f"score={logit}" for logit in logits]), logits)


@EACH
def test_an_empty_string_is_a_document(server: Serving, speech: Speech) -> None:
    documents, logits = ["", "score=1", "", "score=-1"], [0.0, 1.0, 0.0, -1.0]
    assert_ranked(speech, rank(server, speech, documents[: speech.most]), logits[: speech.most])


@EACH
def test_documents_of_100_000_characters_are_ranked_and_their_cut_is_told(
    server: Serving, speech: Speech
) -> None:
    logits = [1.0, 3.0, 2.0][: speech.most]
    documents = [(f"score={logit} " + "w " * 50_000)[:100_000] for logit in logits]
    answer = rank(server, speech, documents)
    assert_ranked(speech, answer, logits)
    assert answer.headers["x-podium-truncated-documents"] == str(len(logits))


UNICODE = [
    "score=1 ascii",
    "score=2 Straße, naïve, e\u0301 decomposed",
    "score=3 熊猫 パンダ 판다",
    "score=4 \u05e9\u05dc\u05d5\u05dd \u202e مرحبا",
    "score=5 👩‍👩‍👧‍👦🐼\U0010ffff",
    'score=6 a NUL \x00, a tab \t, a line \n, \u2028, \ufeff and "quotes" \\',
]


@EACH
def test_unicode_is_ranked_and_comes_back_as_it_was_sent(server: Serving, speech: Speech) -> None:
    documents = UNICODE[-speech.most :]
    more, read = speech.text or ({}, None)
    answer = server.post(speech.path, {**speech.ask("Was ist ein 🐼?", documents), **more})
    items = assert_ranked(speech, answer, [float(text[6]) for text in documents])
    if read is not None:
        texts = documents if speech.index is None else documents[::-1]
        assert [read(item) for item in items] == texts


@each(one for one in SPEECHES if one.text is not None and one.text[0] and one.dialect != "vllm")
def test_a_text_comes_back_only_where_it_was_asked_for(server: Serving, speech: Speech) -> None:
    for item in assert_ranked(speech, rank(server, speech, ["score=1", "score=2"]), [1, 2]):
        assert not item.keys() & {"document", "text", "input"}


EVERY_PATH = [
    (re.sub(r"\{[^}]*\}", "m", path), rule.dialect) for path, rules in table.ROUTES.items() for rule in rules
]


@pytest.mark.parametrize(
    ("path", "dialect"), [pytest.param(*one, id=f"{one[0]} {one[1].name}") for one in EVERY_PATH]
)
def test_every_path_answers_each_api_that_is_spoken_there(
    server: Serving, path: str, dialect: Dialect
) -> None:
    counted = {"dialect": dialect.name, "status": "200"}
    before = server.metric("podium_requests_total", **counted) or 0
    assert server.post(path, dialect.example).status == 200
    assert server.metric("podium_requests_total", **counted) == before + 1
