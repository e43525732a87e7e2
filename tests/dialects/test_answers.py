"""The fields that change an answer: spans, details and documents."""

import json
from typing import Any

import msgspec
import pytest

from podium.dialects import table
from podium.dialects.base import Context, decode
from podium.ranking import Ranking, Usage

CONTEXT = Context(model="builtin", request_id="r", created=0)


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        pytest.param({"mode": "enabled"}, [(4, 8, 0.9), (0, 5, 0.2)], id="from the default threshold on"),
        pytest.param({"mode": "enabled", "threshold": 0}, [(4, 8, 0.9), (0, 5, 0.2), (7, 9, 0.05)], id="all"),
        pytest.param({"mode": "enabled", "max_spans": 1}, [(4, 8, 0.9)], id="so many"),
        pytest.param({"mode": "enabled", "threshold": 0.95}, None, id="none"),
        pytest.param({"mode": "disabled"}, None, id="not asked for"),
        pytest.param(None, None, id="null"),
    ],
)
def test_relevant_spans_are_told_best_first_when_asked_for(spans: Any, told: Any) -> None:
    raw = json.dumps({"query": "q", "documents": ["a"], "relevant_spans": spans}).encode()
    dialect = table.recognise("/v2/rerank", {}, raw)
    windows = [[(0, 5, 0.2), (4, 8, 0.9), (7, 9, 0.05)]]
    ranking = Ranking([0.9], [0], Usage(7, 0), windows)
    answer = dialect.respond(decode(dialect.body, raw), ranking, CONTEXT)
    (result,) = msgspec.to_builtins(answer)["results"]
    expected = told and [{"start": start, "end": end, "score": score} for start, end, score in told]
    assert result.get("relevant_spans") == expected


@pytest.mark.parametrize("asked", [True, "true", False, None])
def test_details_are_told_of_each_document_when_asked_for(asked: Any) -> None:
    raw = json.dumps({"query": "q", "documents": ["a", "b"], "return_details": asked}).encode()
    dialect = table.recognise("/v2/rerank", {}, raw)
    body = decode(dialect.body, raw)
    wanted = asked in (True, "true")
    assert dialect.parse(body).details is wanted
    details = [(7, False), (64, True)] if wanted else None
    ranking = Ranking([0.1, 0.9], [1, 0], Usage(71, 1), details=details)
    results = msgspec.to_builtins(dialect.respond(body, ranking, CONTEXT))["results"]
    told = [(result.get("tokens"), result.get("truncated")) for result in results]
    assert told == ([(64, True), (7, False)] if wanted else [(None, None)] * 2)


def test_the_setting_document_stands_above_the_request() -> None:
    raw = json.dumps({"query": "q", "documents": [{"text": "a", "id": 1}, "b"], "top_n": 2}).encode()
    dialect = table.recognise("/rerank", {}, raw)
    body = decode(dialect.body, raw)
    ranking = Ranking([0.9, 0.1], [0, 1], Usage(7, 0))

    def documents(setting: Any) -> list[Any]:
        context = Context(model="m", request_id="r", created=0, document=setting)
        results = msgspec.to_builtins(dialect.respond(body, ranking, context))["results"]
        return [result.get("document") for result in results]

    assert documents("request") == [None, None]
    assert documents("object") == [{"text": "a", "id": 1}, {"text": "b"}]
    assert documents("string") == ["a", "b"]
