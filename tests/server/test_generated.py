"""Generated bodies, thousands a dialect, over a real socket on the built-in model: JSON, and never a 5xx."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from serving import Client, serving

from podium.dialects.base import Dialect
from podium.dialects.table import ROUTES, rules_of
from podium.loading import load_model
from podium.settings import Settings

BODIES = 2_000
KNOWN = {
    "query": "What is deep learning?",
    "documents": [
        "The weather is nice today.",
        "Deep learning is a subset of machine learning that uses neural networks.",
        "Bread is baked in an oven.",
    ],
}


class Raw(str):
    """JSON, or what pretends to be, that is written as it stands."""


JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e300, 2**31, 2**63, -(2**63), 2**64, 10**399,
    "", " ", "true", "false", "null", "0", "x" * 2_000, "\x00", "\ud83d", "\udc00", "🐼", "\u202e", "a\nb",
    "{}",
    [], {}, [None], [[]], [{}], [""], ["a"] * 40, {"text": "a"}, {"text": None}, {"": ""},
    {"id": 1, "text": "a"},
    [1, 2, 3], ["a", 1, None, {"text": "b"}, ["c"]], {"content": [{"type": "text", "text": "a"}]},
    {"content": [{"type": "image_url"}]},
    Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("01"), Raw("'a'"), Raw("[" * 5_000 + "]" * 5_000),
    Raw('{"a":' * 5_000 + "1" + "}" * 5_000), Raw("9" * 5_000), Raw('"\\ud800\\u0041"'), Raw('"\\x"'),
    Raw(""),
    Raw("[1,]"), Raw('"\x01"'), Raw("tru"), Raw("/* */ 1"),
]  # fmt: skip
KEYS = [
    "query", "documents", "texts", "top_n", "top_k", "return_documents", "truncation", "truncate",
    "parameters",
    "model", "input", "passage", "passages", "property", "pairs", "normalize", "raw_scores", "return_text",
    "rank_fields", "text_1", "text_2", "queries", "instances", "max_tokens_per_doc", "zzz", "",
]  # fmt: skip


def write(value: Any, chance: random.Random) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        items = [f"{write(key, chance)}:{write(item, chance)}" for key, item in value.items()]
        if items and chance.random() < 0.05:
            items.append(chance.choice(items))  # a key twice
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(item, chance) for item in value) + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5 or not isinstance(value, str))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a value."""
    found = []
    if isinstance(value, (dict, list)):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            found += [(value, key), *places(item)]
    return found


def mutate(example: Any, chance: random.Random) -> bytes:
    body = copy.deepcopy(example)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        spots = places(body)
        if not spots:
            break
        container, key = chance.choice(spots)
        what = chance.random()
        if what < 0.5:
            container[key] = copy.deepcopy(chance.choice(JUNK))
        elif what < 0.65:
            del container[key]
        elif isinstance(container, dict):
            container[chance.choice(KEYS)] = copy.deepcopy(chance.choice([*JUNK, container[key]]))
        else:
            container[key:key] = [copy.deepcopy(chance.choice([*JUNK, container[key]]))] * chance.randrange(
                30
            )
    raw = bytearray(write(body, chance).encode("utf-8", "surrogatepass"))
    if raw and chance.random() < 0.15:
        _BYTES[chance.randrange(len(_BYTES))](raw, chance)
    return bytes(raw)


def _cut(raw: bytearray, chance: random.Random) -> None:
    del raw[chance.randrange(len(raw)) :]


def _flip(raw: bytearray, chance: random.Random) -> None:
    raw[chance.randrange(len(raw))] = chance.randrange(256)


def _insert(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw))
    raw[at:at] = chance.randbytes(chance.randrange(1, 9))


def _recode(raw: bytearray, chance: random.Random) -> None:
    raw[:] = raw.decode("utf-8", "replace").encode(chance.choice(("utf-16", "utf-8-sig", "utf-32-le")))


_BYTES: list[Callable[[bytearray, random.Random], None]] = [_cut, _flip, _insert, _recode]


def dialects() -> dict[str, tuple[Dialect, str]]:
    """Return each dialect with a path on which it is spoken, one of its own where it has one."""
    found: dict[str, tuple[Dialect, str]] = {}
    for path in sorted(ROUTES, key=lambda path: (-len(rules_of(path)), path)):
        for rule in rules_of(path):
            concrete = (
                path.replace("{model:path}", "org/m").replace("{organisation}", "o").replace("{model}", "m")
            )
            found[rule.dialect.name] = (rule.dialect, concrete)
    return found


def rounded(answer: Any) -> Any:
    """Return an answer without what differs from call to call."""
    if isinstance(answer, dict):
        return {k: rounded(v) for k, v in answer.items() if k not in ("id", "created", "request_id")}
    if isinstance(answer, list):
        return [rounded(item) for item in answer]
    return round(answer, 3) if isinstance(answer, float) else answer


@pytest.fixture(scope="module")
def server():
    settings = Settings(dtype="float32", max_body_bytes=100_000)
    with serving(
        lambda: load_model(settings), self_test="strict", max_body_bytes=settings.max_body_bytes
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client() as connection:
        yield connection


@pytest.mark.parametrize(
    ("dialect", "path"), [pytest.param(*each, id=name) for name, each in dialects().items()]
)
def test_no_body_breaks_a_dialect(client: Client, dialect: Dialect, path: str):
    before = client.post(path, dialect.example)
    assert before.status == 200
    chance = random.Random(f"podium {dialect.name}")
    statuses: dict[int, int] = {}
    for _ in range(BODIES):
        body = mutate(dialect.example, chance)
        answer = client.post(path, body)
        assert answer.status < 500, (body[:2_000], answer.raw)
        assert isinstance(answer.body, (dict, list)), (body[:2_000], answer.raw)
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
    assert statuses[200] > BODIES / 20, statuses
    assert sum(statuses.values()) - statuses[200] > BODIES / 5, statuses
    assert rounded(client.post(path, dialect.example).body) == rounded(before.body)
    ranked = client.post("/cohere/v2/rerank", KNOWN).body["results"]
    assert ranked[0]["index"] == 1
    assert ranked[0]["relevance_score"] > 0.5 > ranked[1]["relevance_score"]
