import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.models.base import Tokens
from podium.models.text.fitting import clip, fit, join, keeps_end, most_tokens, parts, truncate
from podium.ranking import RankRequest

MAX_LENGTH, SPECIAL = 20, 3
ROOM = MAX_LENGTH - SPECIAL


def tokens(count: int, cut: bool = False) -> Tokens:
    return Tokens(np.arange(count, dtype=np.int32), cut)


def query_tokens(count: int) -> Tokens:
    return tokens(count)._replace(fixed=SPECIAL)


def fitted(query: int, document: int, **fields: object):
    request = RankRequest(queries=["q"], documents=["d"], **fields)
    return fit(query_tokens(query), tokens(document), request, max_length=MAX_LENGTH)


@pytest.mark.parametrize(
    ("query", "document", "kept"),
    [
        pytest.param(5, 12, (5, 12), id="a pair that just fits"),
        pytest.param(15, 2, (15, 2), id="a long query with a short document that fits"),
        pytest.param(5, 13, (5, 12), id="the document loses its tail"),
        pytest.param(12, 13, (8, 9), id="a query over half is cut to half first"),
        pytest.param(30, 2, (8, 2), id="and the document is whole then"),
        pytest.param(0, 0, (0, 0), id="nothing"),
    ],
)
def test_the_document_is_cut_after_a_query_longer_than_half(query, document, kept):
    assert truncate(query, document, ROOM) == kept
    (pair,) = fitted(query, document)
    assert (len(pair.query.ids), len(pair.document.ids)) == kept
    assert (pair.query.cut or pair.document.cut) == (kept != (query, document))
    assert pair.needed == query + document + SPECIAL


def test_the_left_side_keeps_the_end_of_the_document():
    (pair,) = fitted(5, 40, truncate_side="left")
    assert pair.document.ids.tolist() == list(range(28, 40))


@given(
    query=st.integers(0, 40),
    document=st.integers(0, 300),
    max_query=st.none() | st.integers(1, 30),
    max_document=st.none() | st.integers(1, 200),
    max_pair=st.none() | st.integers(1, 40),
    max_chunks=st.none() | st.integers(1, 5),
    overflow=st.sampled_from(["cut", "chunk"]),
    side=st.sampled_from(["left", "right"]),
)
def test_what_is_read_fits_and_nothing_is_lost_that_need_not_be(
    query, document, max_query, max_document, max_pair, max_chunks, overflow, side
):
    pairs = fitted(
        query,
        document,
        max_query_tokens=max_query,
        max_document_tokens=max_document,
        max_pair_tokens=max_pair,
        max_chunks=max_chunks,
        overflow=overflow,
        truncate_side=side,
    )
    room = max(2, min(MAX_LENGTH, max_pair or MAX_LENGTH) - SPECIAL)
    assert all(len(pair.query.ids) + len(pair.document.ids) <= room for pair in pairs)
    assert len(pairs) <= (max_chunks or len(pairs)) or overflow == "cut"
    read = {token for pair in pairs for token in pair.document.ids.tolist()}
    allowed = min(document, max_document or document)
    assert any(pair.document.cut for pair in pairs) == (len(read) < allowed)


def test_windows_overlap_and_the_last_one_is_as_long_as_the_others():
    pairs = fitted(5, 40, overflow="chunk")
    spans = [(int(pair.document.ids[0]), int(pair.document.ids[-1])) for pair in pairs]
    assert spans == [(0, 11), (11, 22), (22, 33), (28, 39)]


def test_a_text_is_clipped_to_its_limit_and_one_character_by_which_that_is_seen():
    assert clip("abcdef", 6) == "abcdef"
    assert clip("abcdef", 3) == "abcd"
    assert clip("abcdef", 3, keep_end=True) == "cdef"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, False),
        ({"truncate_side": "left"}, True),
        ({"truncate_side": "left", "overflow": "chunk"}, False),
        ({"truncate_side": "left", "spans": True}, False),
    ],
)
def test_only_a_request_that_cuts_beginnings_keeps_the_end_of_a_long_text(fields, kept):
    assert keeps_end(RankRequest(queries=["q"], documents=["d"], **fields)) == kept


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("ab cd", [(0, "ab cd")]),
        ("ab cd ef gh", [(0, "ab cd"), (5, " ef"), (8, " gh")]),
        ("abcdefghijk lm", [(0, "abcdefghijk"), (11, " lm")]),
        ("a bcdefghijkl", [(0, "a"), (1, " bcdefghijkl")]),
        ("abcdefghijkl", [(0, "abcdefghijkl")]),
        ("      ", [(0, "     "), (5, " ")]),
    ],
)
def test_a_long_text_is_parted_before_spaces(text, found):
    assert list(parts(text, 5)) == found


@given(
    document=st.integers(0, 400),
    max_document=st.none() | st.integers(1, 200),
    max_pair=st.none() | st.integers(1, 40),
    max_chunks=st.none() | st.integers(1, 5),
    overflow=st.sampled_from(["cut", "chunk"]),
    side=st.sampled_from(["left", "right"]),
)
def test_what_is_beyond_most_tokens_changes_nothing(
    document, max_document, max_pair, max_chunks, overflow, side
):
    fields = {
        "max_document_tokens": max_document,
        "max_pair_tokens": max_pair,
        "max_chunks": max_chunks,
        "overflow": overflow,
        "truncate_side": side,
    }
    request = RankRequest(queries=["q"], documents=["d"], **fields)
    most = most_tokens(request, MAX_LENGTH)
    read = document if most is None else min(document, most)
    cut = read < document and most != max_document
    whole = fitted(5, document, **fields)
    known = fit(query_tokens(5), tokens(read, cut), request, max_length=MAX_LENGTH)
    assert [pair.document.ids.tolist() for pair in known] == [pair.document.ids.tolist() for pair in whole]
    assert any(pair.document.cut for pair in known) == any(pair.document.cut for pair in whole)


def test_joined_parts_tell_where_their_tokens_are_in_the_whole():
    first = Tokens(np.array([1, 2]), False, np.array([[0, 2], [3, 5]]))
    second = Tokens(np.array([3]), False, np.array([[1, 3]]))
    whole = join([(0, first), (5, second)])
    assert whole.ids.tolist() == [1, 2, 3]
    assert whole.offsets.tolist() == [[0, 2], [3, 5], [6, 8]]
