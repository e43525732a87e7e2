"""A prompt that is too long: its own tokens stay whole, and texts are cut or read in parts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.text import backends
from models.text.prompts import (
    LONG,
    NEIGHBOURS,
    SMALL,
    TWICE,
    chat,
    ids,
    pair,
    sliced,
    small,
)

from podium.errors import InvalidRequest
from podium.models.text.fitting import join


def test_an_instruction_without_room_for_texts_is_refused():
    tokenizer = small(max_length=60)
    with pytest.raises(
        InvalidRequest, match=r"instruction: with the prompt around it it has \d+ tokens, of 60"
    ) as told:
        tokenizer.queries(["q"], instruction="panda " * 60)
    assert told.value.field == "instruction"


def test_a_length_without_room_for_texts_is_refused():
    with pytest.raises(ValueError, match=r"max_length 12 leaves no room beside \d+ tokens of the prompt"):
        small(max_length=12)


@pytest.mark.parametrize("limit", [40, 41, 57, 80])
def test_the_document_is_cut_at_its_end_and_the_prompts_own_tokens_stay_whole(limit):
    tokenizer, whole = small(max_length=limit), small(max_length=4096)
    got, full = pair(tokenizer, "What is it?", LONG), pair(whole, "What is it?", LONG)
    tail = ids("\nRelevant?<|im_end|>\n")
    assert len(got.ids) == limit
    assert got.ids.tolist()[: limit - len(tail)] == full.ids.tolist()[: limit - len(tail)]
    assert got.ids.tolist()[limit - len(tail) :] == tail
    assert (got.cut, got.needed) == (True, len(full.ids))


def test_a_query_is_cut_where_it_alone_exceeds_the_room_and_a_document_first():
    tokenizer = small(max_length=80)
    got = pair(tokenizer, LONG, "bamboo")
    text = backends.byte_level().decode(got.ids.tolist(), skip_special_tokens=False)
    assert len(got.ids) <= 80
    assert got.cut
    assert text.startswith("<|im_start|>Query: The giant panda")
    assert text.endswith("\nDocument: \nRelevant?<|im_end|>\n")


@settings(deadline=None)
@given(query=st.integers(0, 60), document=st.integers(0, 60), limit=st.integers(26, 90), emoji=st.booleans())
def test_a_pair_never_exceeds_the_length(query, document, limit, emoji):
    word = "🐼" if emoji else "bamboo? "
    got = pair(small(max_length=limit), word * query, word * document)
    assert len(got.ids) <= limit
    assert got.cut == (got.needed > limit)
    assert got.ids.tolist()[-len(ids("?<|im_end|>\n")) :] == ids("?<|im_end|>\n")


def test_a_window_has_the_fixed_text_beside_it_in_tokens_of_its_own():
    tokenizer = small()
    (query,), (document,) = tokenizer.queries(["q?"]), tokenizer.documents([LONG], offsets=True)
    window = sliced(document, 5, 12)
    got = tokenizer.pair(query, window)
    start, stop = window.offsets[0, 0], window.offsets[-1, 1]
    assert backends.byte_level().decode(got.ids.tolist(), skip_special_tokens=False) == (
        f"<|im_start|>Query: q?\nDocument: {LONG[start:stop]}\nRelevant?<|im_end|>\n"
    )


@pytest.mark.parametrize("end", [False, True])
def test_a_query_that_was_cut_is_read_up_to_there(end):
    tokenizer = small()
    (query,), (document,) = (
        tokenizer.queries(["What is a panda, and what is bamboo?"]),
        tokenizer.documents(["d"]),
    )
    kept = sliced(query, 4, len(query.ids)) if end else sliced(query, 0, 4)
    part = backends.byte_level().decode(kept.ids.tolist())
    got = tokenizer.pair(query=kept, document=document)
    assert got.ids.tolist() == ids(f"<|im_start|>Query: {part}\nDocument: d\nRelevant?<|im_end|>\n")
    assert got.cut
    assert tokenizer.pair(kept, document).prefix is got.prefix


def test_offsets_are_those_of_the_document_alone():
    tokenizer = small()
    text = "A bear,  it is?"
    (tokens,) = tokenizer.documents([text], offsets=True)
    assert tokens.offsets[0, 0] == 0
    assert tokens.offsets[-1, 1] == len(text)
    assert "".join(text[a:b] for a, b in tokens.offsets) == text
    assert tokenizer.documents([text])[0].offsets is None


@pytest.mark.parametrize("template", [SMALL, chat(), chat("| trim"), chat("| upper")])
def test_a_document_in_parts_is_the_document(template):
    tokenizer = small(template)
    parts = [" The panda", " eats bamboo", " and sleeps? "]
    starts = [0, len(parts[0]), len(parts[0] + parts[1])]
    found = [
        (start, tokenizer.documents([part], offsets=True, begins=place == 0, ends=place == 2)[0])
        for place, (start, part) in enumerate(zip(starts, parts, strict=True))
    ]
    (query,), (whole,) = tokenizer.queries(["q"]), tokenizer.documents(["".join(parts)], offsets=True)
    together = join(found)
    assert together.ids.tolist() == whole.ids.tolist()
    assert together.offsets.tolist() == whole.offsets.tolist()
    assert tokenizer.pair(query, together).ids.tolist() == tokenizer.pair(query, whole).ids.tolist()


@pytest.mark.parametrize("template", [TWICE, NEIGHBOURS, chat("| upper")])
@pytest.mark.parametrize("limit", [50, 51, 90])
def test_what_cannot_be_cut_fits_too_with_its_own_tokens_whole(template, limit):
    tokenizer = small(template, limit)
    for query, document in (("q", LONG), (LONG, "d"), (LONG, LONG)):
        got = pair(tokenizer, query, document)
        assert limit - 12 <= len(got.ids) <= limit
        assert got.cut
        assert backends.byte_level().token_to_id("<|im_end|>") in got.ids[-2:]
    (query,), (document,) = tokenizer.queries(["q"]), tokenizer.documents([LONG])
    window = tokenizer.pair(query, sliced(document, 8, 11))
    text = backends.byte_level().decode(document.ids[8:11].tolist())
    assert text.strip().lower() in backends.byte_level().decode(window.ids.tolist()).lower()
