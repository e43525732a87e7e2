"""A long text is tokenized in parts, which give the tokens of the whole."""

import pytest
from models.networks import BUILTIN
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from transformers import AutoTokenizer

from podium.models.text.reading import parts


def metaspace() -> Backend:
    """A tokenizer of the family of XLM-RoBERTa: spaces become part of the word behind them."""
    words = sorted({f"\u2581{word}" for word in TEXT.split()})
    backend = Backend(Unigram([("<unk>", 0.0), *((word, -1.0) for word in words)], 0))
    backend.pre_tokenizer = Metaspace(prepend_scheme="always")
    return backend


def byte_level() -> Backend:
    """A tokenizer of the family of ModernBERT: of bytes, the space before a word with them."""
    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    backend = Backend(BPE(letters, []))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return backend


TEXT = "A panda  lives on bamboo, in the h\u00e9art of China:\n\n  six mountain ranges.   " * 40


@pytest.mark.parametrize(
    "backend", [AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer, metaspace(), byte_level()]
)
@pytest.mark.parametrize("size", [20, 100, 999])
def test_the_tokens_of_a_texts_parts_are_those_of_the_whole(backend, size):
    whole = backend.encode(TEXT, add_special_tokens=False)
    cut = list(parts(TEXT, size))
    found = backend.encode_batch([part for _, part in cut], add_special_tokens=False)
    assert len(cut) > 1
    assert [each for encoding in found for each in encoding.ids] == whole.ids
    offsets = [
        (a + start, b + start) for (start, _), each in zip(cut, found, strict=True) for a, b in each.offsets
    ]
    assert offsets == whole.offsets
