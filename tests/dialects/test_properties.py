"""Whatever is sent: a ranking that can be answered, or a PodiumError that can be told. Nothing else."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from dialects.generated import JSON, bodies
from hypothesis import given
from hypothesis import strategies as st

from podium.dialects import table
from podium.dialects.base import Context, ErrorBody, decode, let_go, superset
from podium.errors import RequestError
from podium.ranking import RankRequest, Usage, rank

CONTEXT = Context(model="builtin", request_id="r", created=0)
PATHS = sorted(table.ROUTES)
DIALECTS = {rule.dialect.name: rule.dialect for rules in table.ROUTES.values() for rule in rules}


def told(error: RequestError, fail: Any, shape: Any) -> None:
    status, body = fail(error)
    assert 400 <= status < 500
    msgspec.json.decode(msgspec.json.encode(body), type=shape)


def speak(path: str, headers: Mapping[str, str], raw: bytes) -> RankRequest | None:
    """Do what the server does with a body; return what would be ranked, None where it was refused."""
    try:
        dialect = table.recognise(path, headers, raw)
    except RequestError as error:
        told(error, superset, ErrorBody)
        return None
    try:
        body = decode(dialect.body, raw)
        request = dialect.parse(body)
    except RequestError as error:
        told(error, dialect.fail, dialect.failure)
        return None
    count = len(request.documents)
    assert count >= 1
    assert len(request.queries) in (1, count)
    assert all(isinstance(text, str) for text in (*request.queries, *request.documents))
    logits = np.linspace(-1, 1, count, dtype=np.float32)
    ranking = rank(logits, Usage(7, 0), top_n=request.top_n, raw_scores=request.raw_scores)
    answer = msgspec.json.encode(dialect.respond(body, ranking, CONTEXT))
    msgspec.json.decode(answer, type=dialect.answer)
    if not dialect.repeats_texts(body, CONTEXT):
        let_go(body)
        assert msgspec.json.encode(dialect.respond(body, ranking, CONTEXT)) == answer
    return request


@given(path=st.sampled_from(PATHS), raw=st.binary(max_size=60))
def test_any_bytes_are_refused_by_a_sentence(path: str, raw: bytes) -> None:
    assert speak(path, {}, raw) is None


@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_json_is_ranked_or_refused_by_a_sentence(path: str, value: Any) -> None:
    speak(path, {}, json.dumps(value).encode())


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_request_with_any_field_wrong_is_ranked_or_refused_by_a_sentence(name: str) -> None:
    dialect = DIALECTS[name]
    paths = [path for path in PATHS if dialect in table.spoken_on(path)]

    @given(path=st.sampled_from(paths), body=bodies(dialect))
    def check(path: str, body: dict[str, Any]) -> None:
        speak(path, {}, json.dumps(body).encode())

    check()


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_whatever_texts_are_taken_out_of_can_be_changed(name: str) -> None:
    def check(kind: type[msgspec.Struct]) -> None:
        assert not kind.__struct_config__.frozen
        for field in msgspec.structs.fields(kind):
            for one in (field.type, *get_args(field.type)):
                if isinstance(one, type) and issubclass(one, msgspec.Struct):
                    check(one)

    check(DIALECTS[name].body)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_the_example_of_a_dialect_cut_anywhere_is_refused_by_a_sentence(name: str) -> None:
    raw = json.dumps(DIALECTS[name].example).encode()
    path = next(path for path in PATHS if DIALECTS[name] in table.spoken_on(path))
    for end in range(len(raw)):
        assert speak(path, {}, raw[:end]) is None
