"""Numbers and bodies in the forms in which some clients write them."""

import json

import pytest
from fakes import FakeModel
from serving import serving

from podium.dialects.table import ROUTES, spoken_on

GOOD = {"query": "q", "documents": ["score=1", "score=3", "score=2"]}
ORDER = [1, 2, 0]


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel()) as running:
        yield running


@pytest.mark.parametrize("path", sorted(path for path in ROUTES if "{" not in path and "rerank" in path))
def test_a_byte_order_mark_is_passed_over(server, path):
    example = next(dialect.example for dialect in reversed(spoken_on(path)))
    assert server.post(path, b"\xef\xbb\xbf" + json.dumps(example).encode()).status == 200


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/api/v1/rerank"])
@pytest.mark.parametrize(
    ("top_n", "expected"),
    [
        pytest.param("0", 3, id="0 is all"),
        pytest.param("null", 3, id="null is all"),
        pytest.param("2", 2, id="2"),
        pytest.param("4", 3, id="beyond n is n"),
        pytest.param("9223372036854775807", 3, id="the largest integer"),
        pytest.param("-1", None, id="negative"),
        pytest.param('"2"', 2, id="2 in a string"),
        pytest.param('" 2.0 "', 2, id="2.0 in a string"),
        pytest.param("2.0", 2, id="2.0"),
        pytest.param("2e0", 2, id="2e0"),
        pytest.param('"0"', 3, id="0 in a string is all"),
        pytest.param('"-1"', None, id="negative in a string"),
        pytest.param('"two"', None, id="a word"),
        pytest.param('""', None, id="an empty string"),
        pytest.param('"' + "9" * 5_000 + '"', None, id="thousands of digits in a string"),
        pytest.param('"' + " " * 1_100 + '2"', None, id="a string that is let go"),
        pytest.param("2.5", None, id="a fraction"),
        pytest.param('"2.5"', None, id="a fraction in a string"),
        pytest.param("-1.0", None, id="negative with a point"),
        pytest.param("true", None, id="true"),
        pytest.param("[2]", None, id="a list"),
        pytest.param("1" * 400, 3, id="400 digits are beyond n, too"),
        pytest.param("-" + "1" * 400, None, id="400 digits below zero"),
        pytest.param("1" * 10_000, None, id="more digits than Python reads"),
        pytest.param("1e400", None, id="1e400"),
    ],
)
def test_top_n(server, path, top_n, expected):
    body = json.dumps(GOOD)[:-1] + f', "top_n": {top_n}}}'
    answer = server.post(path, body.encode())
    if expected is None:
        assert answer.status in (400, 422)
        assert "top_n" in json.dumps(answer.body)
    else:
        assert [result["index"] for result in answer.body["results"]] == ORDER[:expected]
