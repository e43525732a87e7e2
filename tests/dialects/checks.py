"""What the tests over a socket share: each API once, a request to it, and whether its answer is right."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from dialects.speech import SPEECHES, Speech
from serving import Answer, Serving

from podium.ranking import sigmoid

QUERY = "q"


def each(speeches: Iterable[Speech]) -> pytest.MarkDecorator:
    """Run a test once for each of these."""
    cases = [pytest.param(one, id=f"{one.dialect} {one.path}") for one in speeches]
    return pytest.mark.parametrize("speech", cases)


EACH = each(SPEECHES)


def rank(server: Serving, speech: Speech, documents: list[str], **more: Any) -> Answer:
    return server.post(speech.path, {**speech.ask(QUERY, documents), **more})


def assert_ranked(speech: Speech, answer: Answer, logits: list[float]) -> list[dict[str, Any]]:
    """Check an answer's order, scores and keys; return its items."""
    assert answer.status == 200, answer.raw[:500]
    body = answer.body
    assert not nulls(body)
    items = speech.items(body)
    order = np.argsort(-np.array(logits), kind="stable").tolist()
    if speech.index is None:
        order = list(range(len(logits)))
    else:
        assert [item[speech.index] for item in items] == order
    assert all(item.keys() <= speech.keys for item in items)
    expected = np.array(logits, np.float32).astype(np.float64)[order]
    scores = [item[speech.score] for item in items]
    assert scores == pytest.approx((expected if speech.logits else sigmoid(expected)).tolist(), abs=1e-9)
    return items


def nulls(value: Any) -> bool:
    """Whether there is a null anywhere in a JSON value."""
    if isinstance(value, dict):
        return any(map(nulls, value.values()))
    return any(map(nulls, value)) if isinstance(value, list) else value is None
