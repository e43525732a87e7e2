"""A clipped text has the tokens of the whole one, as far as they are read, with tokenizers of each kind."""

import functools
import random

import numpy as np
import pytest
from models.text import backends

from podium.models.base import Tokens
from podium.models.text.reading import read

WORDS = ["panda", "a", "Bambus", "lives?\n", "12.5", "don't", "🐼🐼", "e\u0301", "def f(x):\n    return", "."]
GAPS = [" ", " ", " ", "  ", "\n", ".\n\n", "", " " * 300, "\t", "\u3000", "\0\u200b "]
FRONTS = {
    "nothing": "",
    "blanks": " " * 70_000,
    "newlines": "\n" * 70_000,
    "NULs": "\0" * 70_000,
    "zero-width spaces": "\u200b" * 70_000,
    "one word": "ab1" * 23_000,
    "one letter": "x" * 70_000,
    "no blanks at all": "大熊猫生活在中国的山里吃竹子。" * 5_000,
}
KINDS = {
    "word pieces": backends.bert,
    "byte pairs": backends.byte_level,
    "Qwen's byte pairs": backends.qwen3,
    "runs of blanks": backends.neox,
    "unigram": backends.unigram,
}


@functools.cache
def backend_of(kind: str):
    backend = KINDS[kind]()
    backend.no_truncation()
    return backend


def text_of(front: str, seed: int) -> str:
    chosen = random.Random(seed)
    return front + "".join(chosen.choice(WORDS) + chosen.choice(GAPS) for _ in range(1_500))


@pytest.mark.parametrize("keep_end", [False, True], ids=["beginning", "end"])
@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_of_a_clipped_text_is_what_the_whole_one_has_there(kind, front, keep_end):
    backend = backend_of(kind)

    def encode(texts, whole):
        found = backend.encode_batch(list(texts), add_special_tokens=False)
        return [Tokens(np.array(each.ids, np.int32), False) for each in found]

    text = text_of(front, 1)
    text = text[::-1] if keep_end else text
    (whole,) = encode([text], True)
    for most in (1, 40, 509):
        (some,) = read(encode, [text], most, keep_end=keep_end)
        place = slice(-most, None) if keep_end else slice(most)
        assert some.ids[place].tolist() == whole.ids[place].tolist()
        assert some.cut == (len(some.ids) < len(whole.ids))
