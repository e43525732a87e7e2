"""Every exchange under golden/: this request gets this answer, and each failure its status.

`reads`, where an exchange has it, are fields of the RankRequest. Logits are given, 42 tokens are counted, and
floats are compared to six digits.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from podium import errors
from podium.dialects import table
from podium.dialects.base import Context, Dialect, decode
from podium.ranking import Usage, rank

GOLDEN = {
    file.stem: json.loads(file.read_text()) for file in Path(__file__).with_name("golden").glob("*.json")
}
DIALECTS = {rule.dialect.name: rule.dialect for rules in table.ROUTES.values() for rule in rules}
CONTEXT = Context(model="builtin", request_id="0b1e", created=1_700_000_000)
EXCHANGES = [
    pytest.param(name, exchange, id=f"{name}: {exchange['why']}")
    for name, golden in sorted(GOLDEN.items())
    for exchange in golden["exchanges"]
]
FAILURES: dict[str, Exception] = {
    "MalformedBody": errors.MalformedBody("the body is not JSON"),
    "InvalidRequest": errors.InvalidRequest("`query` is blank", "query"),
    "EmptyDocuments": errors.EmptyDocuments("`documents` is empty", "documents"),
    "UnsupportedMedia": errors.UnsupportedMedia("`query` holds `image`", "query"),
    "PairTooLong": errors.PairTooLong(3, 600, 512),
    "BodyTooLarge": errors.BodyTooLarge(1024),
    "BodyTimeout": errors.BodyTimeout(30),
    "UnsupportedEncoding": errors.UnsupportedEncoding("Content-Encoding `br`"),
    "Unauthorized": errors.Unauthorized(),
    "NotFound": errors.NotFound("no API on /nope"),
    "MethodNotAllowed": errors.MethodNotAllowed("GET"),
    "Overloaded": errors.Overloaded("412 pairs wait, max_queue_pairs is 400; try again in 3 s", 3),
    "Unavailable": errors.Unavailable("shutting down", 1),
    "DeadlineExceeded": errors.DeadlineExceeded(300),
    "ModelFailed": errors.ModelFailed("the model failed"),
    "Exception": KeyError("an internal name"),
}


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def on_the_wire(body: Any) -> Any:
    return rounded(json.loads(msgspec.json.encode(body)))


def exchange(dialect: Dialect, raw: bytes, logits: list[float]) -> tuple[int, Any]:
    try:
        body = decode(dialect.body, raw)
        request = dialect.parse(body)
    except errors.PodiumError as error:
        status, failure = dialect.fail(error)
        return status, on_the_wire(failure)
    assert len(request.documents) == len(logits)
    assert len(request.queries) in (1, len(logits))
    ranking = rank(
        np.array(logits, np.float32), Usage(42, 0), top_n=request.top_n, raw_scores=request.raw_scores
    )
    return 200, on_the_wire(dialect.respond(body, ranking, CONTEXT))


def test_every_dialect_has_a_golden_file_and_every_file_a_dialect() -> None:
    assert GOLDEN.keys() == DIALECTS.keys()


@pytest.mark.parametrize(("name", "golden"), sorted(GOLDEN.items()))
def test_a_golden_file_names_the_sources_of_all_that_it_holds(name: str, golden: Any) -> None:
    assert golden["sources"].keys() == {"request", "response", "error"}
    assert all(sources and all(sources) for sources in golden["sources"].values())
    assert {200, 400, 422} & {one["status"] for one in golden["exchanges"]} > {200}


@pytest.mark.parametrize(("name", "golden"), EXCHANGES)
def test_this_request_gets_this_answer(name: str, golden: Any) -> None:
    raw = json.dumps(golden["request"]).encode()
    dialect = table.recognise(golden["path"], golden.get("headers", {}), raw)
    assert dialect.name == name
    assert exchange(dialect, raw, golden.get("logits", [])) == (golden["status"], golden["body"])
    if golden["status"] == 200:
        reads = msgspec.to_builtins(dialect.parse(decode(dialect.body, raw)))
        assert {key: reads[key] for key in golden.get("reads", {})} == golden.get("reads", {})


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_each_failure_has_the_status_of_the_vendor(name: str) -> None:
    fail = DIALECTS[name].fail
    assert {kind: fail(error)[0] for kind, error in FAILURES.items()} == GOLDEN[name]["statuses"]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_an_overloaded_server_says_so_in_the_shape_of_the_vendor(name: str) -> None:
    status, body = DIALECTS[name].fail(FAILURES["Overloaded"])
    assert (status, on_the_wire(body)) == (429, GOLDEN[name]["overloaded"])


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_failure_has_the_type_that_the_dialect_declares(name: str) -> None:
    told = GOLDEN[name]["overloaded"]
    assert msgspec.to_builtins(msgspec.convert(told, DIALECTS[name].failure)) == told


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_an_unknown_exception_shows_nothing_of_itself(name: str) -> None:
    status, body = DIALECTS[name].fail(FAILURES["Exception"])
    assert status == 500
    shown = msgspec.json.encode(body).decode()
    assert "internal error" in shown
    assert "an internal name" not in shown


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_an_answer_has_the_type_that_the_dialect_declares(name: str) -> None:
    for golden in GOLDEN[name]["exchanges"]:
        if golden["status"] == 200:
            answer = msgspec.convert(golden["body"], DIALECTS[name].answer)
            assert msgspec.to_builtins(answer) == golden["body"]
