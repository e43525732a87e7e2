"""What is looked at before a large body is read: surrogates without their other half, and how many values."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.dialects import scanning
from podium.dialects.scanning import check_values, mend_surrogates
from podium.errors import InvalidRequest

ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
PIECES = st.sampled_from(
    [
        *(rb"\ud83d", rb"\ude00", rb"\uDBFF", rb"\uDc00", rb"\ud8", rb"\ud8zz", rb"ud83d"),
        *(rb"\\", rb"\"", rb"\n", rb"\u00e9", b"x", b"1", "é😀".encode()),
    ]
)


def one_by_one(raw: bytes) -> bytes:
    """Mend as the rule says, an escape at a time."""
    return ESCAPES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], raw)


@pytest.fixture
def slices_of(monkeypatch):
    return lambda size: monkeypatch.setattr(scanning, "SLICE_BYTES", size)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 12, 64])
def test_halves_are_found_wherever_a_slice_ends(slices_of, size):
    slices_of(size)

    @given(st.lists(PIECES, max_size=12).map(b"".join))
    def check(raw: bytes) -> None:
        assert mend_surrogates(raw) == one_by_one(raw)

    check()


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_what_needs_no_mending_is_not_copied(raw):
    assert (mend_surrogates(raw) is raw) == (one_by_one(raw) == raw)


class Counted(bytes):
    """A body that counts how many bytes are taken out of it."""

    taken = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        Counted.taken += len(found)
        return found


@pytest.mark.parametrize("piece", [rb"\ud83d", rb"\ud83d\ude00", rb"\\", rb"\n", b"x", rb"\ude00\ud83d"])
@pytest.mark.parametrize("look", [mend_surrogates, check_values])
def test_each_byte_is_looked_at_a_fixed_number_of_times(slices_of, look, piece):
    slices_of(1024)
    for count in (10_000, 40_000):
        body = Counted(b'"' + piece * count + b'"')
        Counted.taken = 0
        look(body)
        assert Counted.taken <= 3 * len(body) + 3 * 1024


@pytest.mark.parametrize("size", [2, 3, 7, 64])
def test_only_values_outside_of_texts_count(slices_of, monkeypatch, size):
    slices_of(size)
    for name in ("_VALUE_BYTES", "_TEXT_BYTES", "_LIST_BYTES", "_OBJECT_BYTES"):
        monkeypatch.setattr(scanning, name, 0)
    monkeypatch.setattr(scanning, "_VALUE_BYTES", 2**40)
    text = st.text(st.sampled_from('a,"\\[{é'), max_size=8)

    @given(st.lists(text, min_size=1, max_size=4))
    def check(texts: list[str]) -> None:
        raw = json.dumps(texts).encode()
        if len(texts) == 1:
            check_values(raw)
        else:
            with pytest.raises(InvalidRequest):
                check_values(raw)

    check()


FLOOD = {
    "objects": b'{"":0}',
    "objects in objects": b'{"a":{"b":{}}}',
    "empty texts": b'""',
    "lists": b"[]",
    "short texts": b'"ab"',
    "numbers": b"0.5",
    "nulls": b"null",
}


@pytest.mark.parametrize("value", FLOOD.values(), ids=FLOOD)
def test_a_body_of_too_many_small_values_is_refused_before_it_is_read(value):
    raw = b'{"query": "q", "documents": [' + b",".join([value] * (16 * 2**20 // (len(value) + 1))) + b"]}"
    with pytest.raises(InvalidRequest, match="too many small values: its 16777"):
        check_values(raw)


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param(["x, [y] {z} " * 140] * 10_000, id="texts"),
        pytest.param(
            [{"text": "x" * 400, **{f"field {n}": n for n in range(30)}} for _ in range(10_000)], id="objects"
        ),
        pytest.param([{"text": "x" * 400, "vector": [0.123456] * 768} for _ in range(1_500)], id="vectors"),
    ],
)
def test_what_people_send_is_let_through(documents):
    check_values(msgspec.json.encode({"query": "q", "documents": documents}))
