import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from podium.errors import InvalidRequest
from podium.models.base import Tokens
from podium.models.text.fitting import WINDOW_SPARE, WINDOW_TOKENS, Limits, fit, join, most_windows, truncate

MAX_LENGTH, SPECIAL = 80, 3
ROOM = MAX_LENGTH - SPECIAL


def tokens(count: int, cut: bool = False) -> Tokens:
    return Tokens(np.arange(count, dtype=np.int32), cut)


def fitted(query: int, document: int, **limits: object):
    limits.setdefault("max_length", MAX_LENGTH)
    return fit(tokens(query)._replace(fixed=SPECIAL), tokens(document), Limits(**limits))


def test_pairs_are_cut_exactly_as_the_library_cuts_the_longer_text_first():
    backend = Tokenizer(WordLevel({"q": 0, "d": 1, "s": 2}, unk_token="s"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(pair="s $A s $B:1 s:1", special_tokens=[("s", 2)])
    for room in range(2, 19):
        backend.enable_truncation(room + 3, strategy="longest_first")
        for query in range(24):
            for document in range(24):
                pair = backend.encode(" ".join("q" * query), " ".join("d" * document)).ids
                assert truncate(query, document, room) == (pair.count(0), pair.count(1)), (
                    query,
                    document,
                    room,
                )


@pytest.mark.parametrize(
    ("query", "document", "kept"),
    [
        pytest.param(5, 72, (5, 72), id="a pair that just fits"),
        pytest.param(5, 73, (5, 72), id="a document that is longer loses its tail"),
        pytest.param(600, 3, (74, 3), id="a query that is longer has all the room there is"),
        pytest.param(600, 38, (39, 38), id="beside a document of half of the room"),
        pytest.param(600, 39, (39, 38), id="of which it loses what is beyond"),
        pytest.param(90, 90, (38, 39), id="of equal ones the document has the odd token"),
        pytest.param(89, 90, (38, 39), id="both too long: half and half"),
        pytest.param(0, 0, (0, 0), id="nothing"),
    ],
)
def test_the_longer_text_of_a_tokenizers_pair_is_cut(query, document, kept):
    assert truncate(query, document, ROOM) == kept
    (pair,) = fitted(query, document)
    assert (len(pair.query.ids), len(pair.document.ids)) == kept
    assert pair.cut == (kept != (query, document))
    assert (pair.needed, pair.tokens) == (query + document + SPECIAL, sum(kept) + SPECIAL)


@pytest.mark.parametrize(
    ("query", "document", "kept"),
    [
        pytest.param(60, 90, (60, 17), id="the document is cut, however long the query is"),
        pytest.param(77, 90, (77, 0), id="to nothing"),
        pytest.param(90, 3, (77, 0), id="and a query that alone exceeds the room"),
        pytest.param(60, 3, (60, 3), id="but not where both fit"),
    ],
)
def test_in_a_template_the_document_is_cut(query, document, kept):
    assert truncate(query, document, ROOM, longest_first=False) == kept
    (pair,) = fitted(query, document, longest_first=False)
    assert (len(pair.query.ids), len(pair.document.ids)) == kept


def test_the_left_side_keeps_the_end_of_both_texts():
    (pair,) = fitted(50, 60, side="left")
    assert pair.query.ids.tolist() == list(range(12, 50))
    assert pair.document.ids.tolist() == list(range(21, 60))
    assert (pair.query.begins, pair.query.ends, pair.document.begins) == (False, True, False)


def test_the_limits_of_a_request_keep_a_querys_beginning_and_the_side_of_a_document():
    (pair,) = fitted(50, 60, side="left", max_query_tokens=5, max_document_tokens=7)
    assert pair.query.ids.tolist() == list(range(5))
    assert pair.document.ids.tolist() == list(range(53, 60))
    assert not pair.cut


@given(
    query=st.integers(0, 100),
    document=st.integers(0, 900),
    max_query=st.none() | st.integers(1, 60),
    max_document=st.none() | st.integers(1, 600),
    windows=st.none() | st.integers(1, 9),
    side=st.sampled_from(["left", "right"]),
    longest_first=st.booleans(),
)
def test_what_is_read_fits_and_nothing_is_lost_that_need_not_be(
    query, document, max_query, max_document, windows, side, longest_first
):
    try:
        pairs = fitted(
            query,
            document,
            max_query_tokens=max_query,
            max_document_tokens=max_document,
            windows=windows,
            side=side,
            longest_first=longest_first,
        )
    except InvalidRequest:
        assert windows
        assert min(query, max_query or query) > ROOM - WINDOW_TOKENS - WINDOW_SPARE
        return
    assert all(pair.tokens <= MAX_LENGTH for pair in pairs)
    assert len(pairs) <= (windows or 1)
    read = {token for pair in pairs for token in pair.document.ids.tolist()}
    allowed = min(document, max_document or document)
    assert any(pair.document.cut for pair in pairs) == (len(read) < allowed)
    assert len(pairs) == 1 or all(len(pair.document.ids) >= WINDOW_TOKENS for pair in pairs)


@given(st.integers(0, 70), st.integers(0, 5_000), st.integers(1, 200), st.booleans())
def test_no_document_has_more_windows_than_were_admitted(query, document, windows, longest_first):
    limits = Limits(MAX_LENGTH, longest_first=longest_first, windows=windows)
    try:
        pairs = fitted(query, document, windows=windows, longest_first=longest_first)
    except InvalidRequest:
        return
    assert len(pairs) <= most_windows(document, limits, beside=query + SPECIAL) <= windows


def test_windows_overlap_and_the_last_one_is_as_long_as_the_others():
    pairs = fitted(37, 120, windows=9)
    spans = [(int(pair.document.ids[0]), int(pair.document.ids[-1])) for pair in pairs]
    assert spans == [(0, 39), (35, 74), (70, 109), (80, 119)]


def test_a_window_of_less_than_32_tokens_is_refused_where_one_would_be_made():
    message = (
        "^beside the query 5 tokens of 8 are left for a window of a document, at least 32 must be; shorten"
    )
    with pytest.raises(InvalidRequest, match=message):
        fitted(0, 6, windows=64, max_length=8)
    (pair,) = fitted(0, 5, windows=64, max_length=8)
    assert not pair.cut
    (pair,) = fitted(0, 6, max_length=8)
    assert pair.cut


def test_windows_in_a_template_leave_room_for_fixed_text_that_no_longer_melts_into_the_document():
    pairs = fitted(5, 500, windows=9, longest_first=False)
    assert {pair.tokens for pair in pairs} == {MAX_LENGTH - WINDOW_SPARE}


def test_a_limit_below_the_prompt_itself_is_refused():
    message = "^the prompt around query and document has 3 tokens, a pair may have 3; raise `truncate_prompt"
    with pytest.raises(InvalidRequest, match=message):
        fitted(1, 1, longest_first=False, max_length=3)
    (pair,) = fitted(1, 1, longest_first=True, max_length=3)
    assert pair.tokens == 5


def test_a_long_document_has_as_many_windows_as_are_allowed_and_says_that_it_was_cut():
    pairs = fitted(5, 1_000_000, windows=64)
    assert len(pairs) == 64
    assert [pair.cut for pair in pairs] == [False] * 63 + [True]


@given(
    document=st.integers(0, 2_000),
    max_document=st.none() | st.integers(1, 900),
    windows=st.none() | st.integers(1, 5),
    side=st.sampled_from(["left", "right"]),
    spans=st.booleans(),
)
def test_what_is_beyond_most_tokens_changes_nothing(document, max_document, windows, side, spans):
    fields = {"max_document_tokens": max_document, "windows": windows, "side": side, "spans": spans}
    limits = Limits(MAX_LENGTH, **fields)
    most = limits.most_tokens
    read = document if most is None else min(document, most)
    cut = read < document and most != max_document
    whole = fitted(5, document, **fields)
    start = document - read if limits.keeps_end else 0
    known = Tokens(np.arange(start, start + read, dtype=np.int32), cut)
    found = fit(tokens(5)._replace(fixed=SPECIAL), known, limits)
    assert [pair.document.ids.tolist() for pair in found] == [pair.document.ids.tolist() for pair in whole]
    assert any(pair.cut for pair in found) == any(pair.cut for pair in whole)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, False),
        ({"side": "left"}, True),
        ({"side": "left", "windows": 4}, False),
        ({"side": "left", "spans": True}, False),
    ],
)
def test_only_a_request_that_cuts_beginnings_keeps_the_end_of_a_long_text(fields, kept):
    assert Limits(MAX_LENGTH, **fields).keeps_end == kept


def test_joined_parts_tell_where_their_tokens_are_in_the_whole():
    first = Tokens(np.array([1, 2]), False, np.array([[0, 2], [3, 5]]))
    second = Tokens(np.array([3]), False, np.array([[1, 3]]))
    whole = join([(0, first), (5, second)])
    assert whole.ids.tolist() == [1, 2, 3]
    assert whole.offsets.tolist() == [[0, 2], [3, 5], [6, 8]]
