import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.models.base import Tokens
from podium.models.text.reading import (
    LEAST_CHARACTERS,
    MARGIN,
    TEXT_CHARACTERS,
    clip,
    keep_readable,
    parts,
    read,
)


class Words:
    """Tokens are words, blanks are none; counts the characters that it was given."""

    def __init__(self) -> None:
        self.characters = 0
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, texts, whole):
        self.characters += sum(map(len, texts))
        self.calls.append((len(texts), whole))
        return [Tokens(np.array([hash(word) for word in text.split()], np.int64), False) for text in texts]


def ids(text: str) -> list[int]:
    return [hash(word) for word in text.split()]


@given(
    st.lists(
        st.lists(
            st.tuples(st.text("ab\0\u200b", max_size=6), st.sampled_from([" ", "  ", " " * 9000, "\n"]))
        ).map(lambda pairs: "".join(word + blank for word, blank in pairs)),
        max_size=4,
    ),
    st.integers(1, 300),
    st.booleans(),
)
def test_as_many_tokens_come_out_as_can_be_read_and_are_those_of_the_whole_text(texts, most, keep_end):
    for text, tokens in zip(texts, read(Words(), texts, most, keep_end=keep_end), strict=True):
        whole, some = ids(text), tokens.ids.tolist()
        assert some[:most] == whole[:most] or keep_end
        assert some[-most:] == whole[-most:] or not keep_end
        assert tokens.cut == (len(some) < len(whole))


@pytest.mark.parametrize("blank", [" ", "\n", "\0", "\u200b", "x"])
def test_words_behind_70_000_characters_that_are_few_tokens_are_found(blank):
    (tokens,) = read(Words(), [blank * 70_000 + " the answer"], 512)
    assert tokens.ids.tolist()[-2:] == ids("the answer")
    assert not tokens.cut


def test_a_text_that_is_ordinary_is_tokenized_once_and_little_of_a_long_one():
    words = Words()
    read(words, ["word " * 100] * 1000, 512)
    assert words.calls == [(1000, True)]
    words = Words()
    (tokens,) = read(words, ["word " * 200_000], 512)
    assert words.characters <= LEAST_CHARACTERS
    assert len(tokens.ids) >= 512 + MARGIN
    assert tokens.cut


def test_the_estimates_of_a_text_take_no_more_than_a_third_beside_the_last_one():
    words = Words()
    read(words, [" " * TEXT_CHARACTERS], 512)
    assert words.characters < TEXT_CHARACTERS * 4 / 3


def test_what_is_beyond_a_mebi_of_characters_is_cut_and_told():
    text = keep_readable(" " * 10_000_000 + "word")
    assert len(text) == TEXT_CHARACTERS + 1
    (tokens,) = read(Words(), [text], 512)
    assert (len(tokens.ids), tokens.cut) == (0, True)
    (end,) = read(
        Words(), [keep_readable("word" + " " * 2_000_000 + "end", keep_end=True)], 512, keep_end=True
    )
    assert (end.ids.tolist(), end.cut) == (ids("end"), True)


def test_a_text_of_which_a_request_wants_no_more_is_not_called_cut():
    long = "word " * 100_000
    (wanted,) = read(Words(), [long], 5, enough=5)
    (unlimited,) = read(Words(), [long], 5)
    assert (wanted.cut, unlimited.cut) == (False, True)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("abc defg hij", "abc defg"),
        ("abc    defghij", "abc"),
        ("abcdefghijklm", "abcdefghij"),
        ("  " * 9, " " * 10),
    ],
)
def test_a_text_is_clipped_behind_a_word_where_one_ends(text, kept):
    assert clip(text, 10) == kept


def test_the_end_of_a_text_is_clipped_before_a_blank():
    assert clip("abc defg hij", 10, keep_end=True) == " defg hij"
    assert clip("ab cdefghijkl", 10, keep_end=True) == " cdefghijkl"
    assert clip("abcdefghijkl", 10, keep_end=True) == "abcdefghijkl"
    assert clip("ab cd" + "\n" * 20, 10, keep_end=True) == " cd" + "\n" * 20


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("ab cd", [(0, "ab cd")]),
        ("ab cd ef gh", [(0, "ab cd"), (5, " ef"), (8, " gh")]),
        ("abcdefghijk lm", [(0, "abcdefghijk"), (11, " lm")]),
        ("a bcdefghijkl", [(0, "a"), (1, " bcdefghijkl")]),
        ("abcdefghijkl", [(0, "abcdefghijkl")]),
        ("ab     cd", [(0, "ab"), (2, "     cd")]),
        ("ab.\n\ncd", [(0, "ab.\n\ncd")]),
        ("      ", [(0, "      ")]),
    ],
)
def test_a_long_text_is_parted_behind_words_and_runs_of_blanks_stay_whole(text, found):
    assert list(parts(text, 5)) == found


@given(st.text("ab \n", max_size=60), st.integers(1, 12))
def test_parts_are_the_text(text, size):
    assert "".join(part for _, part in parts(text, size)) == text
    assert all(text[start : start + len(part)] == part for start, part in parts(text, size))
