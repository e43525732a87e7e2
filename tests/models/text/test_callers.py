"""No text of a caller becomes a control token; any other text is read as the model's tokenizer reads it."""

import functools
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.text import backends
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from podium.models.text.callers import control_tokens, without

KINDS = [pytest.param(kind, id=name) for name, kind in backends.KINDS.items()]


@functools.cache
def made(kind):
    backend = kind()
    control = control_tokens(backend)
    return backend, control, without(backend, set(control.values()))


def ids(backend: Tokenizer, text: str) -> list[int]:
    return backend.encode(text, add_special_tokens=False).ids


def unknown(backend: Tokenizer) -> set[int | None]:
    """The id of the unknown token, which is special and yet what a text may hold."""
    return {backend.token_to_id(name) for name in ("<unk>", "[UNK]")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_token_that_a_text_writes_is_read_as_its_characters(kind):
    backend, control, callers = made(kind)
    assert control
    for token in control.values():
        for text in (token, f"a {token} b", f"a{token}", f"{token}{token}", token.upper(), token[1:]):
            assert not (set(ids(callers, text)) - unknown(backend)) & control.keys(), text


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_own_tokenizer_does_parse_them(kind):
    """Else the test above would prove nothing."""
    backend, control, _ = made(kind)
    assert all(number in ids(backend, f"a {token} b") for number, token in control.items())


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(data=st.data())
def test_no_mixture_of_their_pieces_becomes_one_either(kind, data):
    backend, control, callers = made(kind)
    cuts = [token[:cut] for token in control.values() for cut in range(1, len(token) + 1)]
    parts = st.sampled_from([*cuts[:400], " ", "\n", "a", "s", "|", ">", "<", "/", "\u2581", "\u0120"])
    text = "".join(data.draw(st.lists(parts, max_size=12)))
    assert not (set(ids(callers, text)) - unknown(backend)) & control.keys()


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_other_text_is_read_as_before(kind, text):
    backend, control, callers = made(kind)
    if not any(token in text for token in control.values()):
        assert ids(callers, text) == ids(backend, text)


def test_runs_of_blanks_and_words_that_were_added_stay():
    backend, control, callers = made(backends.neox)
    blanks = {
        number for number, token in backend.get_added_tokens_decoder().items() if not token.content.strip()
    }
    assert len(blanks) == 23
    assert not blanks & control.keys()
    text = "def f():\n        return  1"
    assert ids(callers, text) == ids(backend, text)
    assert set(ids(callers, text)) & blanks


@pytest.mark.parametrize(
    ("content", "control"),
    [
        ("<think>", True),
        ("[unused7]", True),
        ("|||PHONE_NUMBER|||", True),
        ("__eos__", True),
        ("covid19", False),
        ("€", False),
        ("...", False),
        ("\n\n\n", False),
        ("\u2581\u2581", False),
        ("New York", False),
    ],
)
def test_an_added_token_that_looks_like_a_mark_is_control(content, control):
    backend = backends.byte_level()
    backend.add_tokens([AddedToken(content, normalized=False)])
    assert (content in control_tokens(backend).values()) is control


def test_bytes_that_are_added_tokens_are_text():
    """So the tokenizers library leaves them where a BPE was trained with them as special tokens."""
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    backend = Tokenizer(
        BPE({name: at for at, name in enumerate([*bytes_, "a", "</s>"])}, [], byte_fallback=True)
    )
    backend.add_special_tokens([*bytes_, "</s>"])
    control = control_tokens(backend)
    assert list(control.values()) == ["</s>"]
    backend.model.byte_fallback = False
    assert len(control_tokens(backend)) == 257
    backend.model.byte_fallback = True
    callers = without(backend, set(control.values()))
    assert ids(callers, "a\n熊") == ids(backend, "a\n熊") == [256, 10, *"熊".encode()]


def test_an_added_token_that_the_template_writes_is_control():
    backend = backends.byte_level("###Document")
    assert "###Document" not in control_tokens(backend).values()
    assert "###Document" in control_tokens(backend, "x\n###Document: ").values()


def test_added_tokens_that_stay_keep_their_ids_behind_those_that_go():
    backend = backends.byte_level("covid19", "<end>", "zebra")
    callers = without(backend, set(control_tokens(backend).values()))
    text = "a zebra with covid19 <end>"
    assert [backend.token_to_id(word) for word in ("zebra", "covid19")] == [
        number for number in ids(callers, text) if number >= backend.get_vocab_size(with_added_tokens=False)
    ]


def test_a_unigrams_scores_stay_as_they_are():
    """That of the unknown token depends on the least of them."""
    backend, _, callers = made(backends.unigram)
    before, after = (json.loads(each.to_str())["model"] for each in (backend, callers))
    # the library writes and reads numbers to within one place of the last
    scores = [[score for _, score in each["vocab"]] for each in (before, after)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-14)
    assert [name for name, _ in before["vocab"]][4:] == [name for name, _ in after["vocab"]][4:]


def test_a_large_vocabulary_is_shared_and_not_read_anew():
    backend = backends.qwen3()
    started = time.process_time()
    without(backend, set(control_tokens(backend).values()))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("kind", [backends.unigram, backends.bert])
def test_a_tokenizer_that_is_used_up_leaves_its_memory(kind):
    """XLM-RoBERTa's vocabulary takes half a gigabyte, which two of them would take twice."""
    backend = Tokenizer.from_str(made(kind)[0].to_str())
    callers = without(backend, set(control_tokens(backend).values()), used_up=True)
    assert ids(callers, "a panda </s> [SEP]") == ids(made(kind)[2], "a panda </s> [SEP]")
    assert backend.get_vocab_size(with_added_tokens=False) == 0
