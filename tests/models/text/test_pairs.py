"""A pair that is put together here is the pair that the tokenizer itself would have made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.networks import BUILTIN
from models.text import backends
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import RobertaProcessing, TemplateProcessing
from transformers import AutoTokenizer

from podium.errors import InvalidRequest
from podium.models.recipe import Recipe
from podium.models.text.pairs import PairTokenizer, learn_template
from podium.models.text.tokenizer import make


def words(processor=None) -> Backend:
    """A tokenizer that gives each probe word an id of its own, with the post-processor of a family."""
    text = "what is a panda bear x the The lives in China , six mountain ranges ."
    names = ["<s>", "</s>", "<pad>", *text.split()]
    backend = Backend(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<pad>"))
    backend.pre_tokenizer = Whitespace()
    if processor is not None:
        backend.post_processor = processor
    return backend


def bert(max_length=512) -> PairTokenizer:
    return PairTokenizer(AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer, max_length, segments=True)


REFERENCE = AutoTokenizer.from_pretrained(BUILTIN)
TOKENIZER = bert()


def joined(tokenizer: PairTokenizer, query: str, document: str):
    return tokenizer.pair(*tokenizer.queries([query]), *tokenizer.documents([document]))


def template(tokenizer: PairTokenizer):
    return [part.tolist() for part in tokenizer.template[:3]], tokenizer.template.second_segment


def test_the_template_of_bert_is_learnt_with_its_segments():
    assert template(TOKENIZER) == ([[101], [102], [102]], True)


def test_the_template_of_roberta_is_learnt():
    roberta = words(RobertaProcessing(("</s>", 1), ("<s>", 0)))
    assert template(PairTokenizer(roberta, 512, segments=False)) == ([[0], [1, 1], [1]], False)


def test_a_tokenizer_without_special_tokens_has_an_empty_template():
    assert template(PairTokenizer(words(), 512, segments=False)) == ([[], [], []], False)


def test_segments_that_the_model_does_not_know_are_left_out():
    tokenizer = PairTokenizer(AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer, 512, segments=False)
    pair = joined(tokenizer, "a", "b")
    assert pair.second == len(pair.ids)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        pytest.param(
            TemplateProcessing(single="$A", pair="$B $A", special_tokens=[]),
            "the tokenizer reads a text differently alone and in a pair",
            id="document first",
        ),
        pytest.param(
            TemplateProcessing(single="$A", pair="$A:1 $B:0", special_tokens=[]),
            r"the tokenizer numbers the segments of a pair \[1, 1, 1, 1, 0, 0\], expected",
            id="segments swapped",
        ),
    ],
)
def test_a_tokenizer_whose_pairs_follow_no_template_is_refused(processor, message):
    with pytest.raises(ValueError, match=message):
        learn_template(words(processor), segments=True)


PAIRS = {
    "bert": backends.bert,
    "roberta": backends.roberta,
    "neox": backends.neox,
    "unigram": backends.unigram,
}


@pytest.mark.parametrize("backend", [pytest.param(kind, id=name) for name, kind in PAIRS.items()])
def test_a_text_cannot_end_its_segment(backend):
    """Whatever query and document write, a pair has the control tokens that the tokenizer puts around it."""
    added = backend().get_added_tokens_decoder()
    tokenizer = PairTokenizer(backend(), 512, segments=False)
    control = {number for number, token in added.items() if token.content.strip()} - {
        backend().token_to_id(name) for name in ("[UNK]", "<unk>")
    }

    def steering(query: str, document: str) -> list[int]:
        return [number for number in joined(tokenizer, query, document).ids.tolist() if number in control]

    for text in (token.content for number, token in added.items() if number in control):
        assert steering(text, f"a {text} b {text}") == steering("a", "a b")


def recipe(**fields) -> Recipe:
    return Recipe(family="x", recognised_by="x", **fields)


def made(max_length=512, **fields) -> PairTokenizer:
    backend = AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer
    return make(backend, recipe(**fields), max_length, segments=True)


def test_a_saved_prompt_stands_right_before_the_query():
    tokenizer = made(instruction="query: ", instruction_use="before query")
    assert (
        joined(tokenizer, "a panda", "b").ids.tolist()
        == joined(TOKENIZER, "query: a panda", "b").ids.tolist()
    )
    (asked,) = tokenizer.queries(["a panda"], instruction="what is ")
    whole = joined(TOKENIZER, "what is a panda", "b")
    assert tokenizer.pair(asked, *tokenizer.documents(["b"])).ids.tolist() == whole.ids.tolist()
    (asked,) = tokenizer.queries(["a panda"], instruction="")
    whole = joined(TOKENIZER, "a panda", "b")
    assert tokenizer.pair(asked, *tokenizer.documents(["b"])).ids.tolist() == whole.ids.tolist()


def test_prompts_without_a_default_are_taken_from_requests_alone():
    tokenizer = made(instruction=None, instruction_use="before query")
    assert joined(tokenizer, "a", "b").ids.tolist() == joined(TOKENIZER, "a", "b").ids.tolist()
    (asked,) = tokenizer.queries(["a"], instruction="what is ")
    assert asked.ids.tolist() == TOKENIZER.queries(["what is a"])[0].ids.tolist()


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        ("panda " * 509, r"it has 512 tokens, of 512 for a pair"),
        (" " * 65_537, r"it has 65537 characters, at most 65536"),
    ],
)
def test_an_instruction_without_room_for_texts_is_refused(instruction, told):
    """It is tokenized anew with each of a request's queries: 64 would make 1 GB of a body of 16 MB."""
    tokenizer = made(instruction_use="before query")
    assert tokenizer.queries(["q"], instruction="panda " * 507)
    with pytest.raises(InvalidRequest, match=told) as raised:
        tokenizer.queries(["q"] * 64, instruction=instruction)
    assert raised.value.field == "instruction"


def test_a_default_that_writes_a_control_token_is_refused():
    """Its reference parses it; a difference would be silent."""
    with pytest.raises(
        ValueError, match=r"the default instruction '\[SEP\] find: ' writes the control token \[SEP\]"
    ):
        made(instruction="[SEP] find: ", instruction_use="before query")
    made(instruction="[SEP] find: ", instruction_use="none")


def test_an_encoder_without_prompts_ignores_instructions():
    (asked,) = made().queries(["a"], instruction="what is ")
    assert asked.ids.tolist() == TOKENIZER.queries(["a"])[0].ids.tolist()


@pytest.mark.parametrize("side", ["left", "right"])
@given(query=st.integers(0, 40), document=st.integers(0, 40))
def test_a_pair_is_cut_as_the_tokenizer_itself_cuts_it(side, query, document):
    texts = " ".join(f"q{n}" for n in range(query)), " ".join(f"d{n}" for n in range(document))
    own = CUTTING[side].encode(*texts)
    got = joined(CUT[side], *texts)
    assert got.ids.tolist() == own.ids
    assert [0] * got.second + [1] * (len(got.ids) - got.second) == own.type_ids


CUT = {side: made(32, truncation_side=side) for side in ("left", "right")}
CUTTING = {side: AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer for side in ("left", "right")}
for _side, _backend in CUTTING.items():
    _backend.enable_truncation(32, strategy="longest_first", direction=_side)


def test_a_decoder_reads_the_query_once_for_all_documents():
    tokenizer = make(backends.byte_level(), recipe(attention="causal"), 64, segments=False)
    (query,) = tokenizer.queries(["what is a panda"])
    for document in tokenizer.documents(["a bear", "it eats"]):
        pair = tokenizer.pair(query, document)
        assert pair.ids[: pair.shared].tolist() == query.ids.tolist()
        assert pair.prefix == query.ids.tobytes()
    assert joined(made(), "a", "b").shared == 0


def test_a_limit_without_room_for_text_is_refused():
    with pytest.raises(ValueError, match="max_length 4 leaves no room beside 3 special tokens"):
        bert(4)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(query=TEXT, document=TEXT)
def test_a_pair_is_what_the_tokenizer_itself_encodes(query, document):
    pair = joined(TOKENIZER, query, document)
    # a list of one pair: transformers takes an empty second text for none, and leaves out a [SEP]
    own = REFERENCE([(query, document)])
    assert [pair.ids.tolist()] == own["input_ids"]
    assert [[0] * pair.second + [1] * (len(pair.ids) - pair.second)] == own["token_type_ids"]
    assert (pair.cut, pair.needed) == (False, len(pair.ids))


@given(query=st.integers(0, 40), document=st.integers(0, 80))
def test_a_pair_never_has_more_tokens_than_the_limit(query, document):
    tokenizer = SMALL
    pair = joined(tokenizer, " q" * query, " d" * document)
    assert len(pair.ids) <= 32
    assert pair.needed == query + document + 3
    assert pair.cut == (pair.needed > 32)
    assert pair.ids[0] == 101
    assert pair.ids[-1] == 102


SMALL = bert(32)


def test_the_tail_of_the_document_is_cut_as_transformers_cuts_it():
    query, document = "what is a panda", "the giant panda is a bear species endemic to china " * 9
    pair = joined(SMALL, query, document)
    own = REFERENCE(query, document, truncation="only_second", max_length=32)
    assert pair.ids.tolist() == own["input_ids"]
    assert pair.cut
    assert pair.needed == len(REFERENCE(query, document)["input_ids"])


def test_texts_are_cut_to_a_mebibyte_of_characters_before_they_are_tokenized():
    whole, cut = SMALL.documents(["ab " * 349_525 + "a", "ab " * 349_526])
    assert (whole.cut, cut.cut) == (False, True)
    assert len(cut.ids) == 349_526


def test_a_word_of_ten_million_characters_is_tokenized_at_once():
    (word,) = TOKENIZER.documents(["a" * 10_000_000])
    assert word.cut
    assert word.ids.tolist() == [REFERENCE.unk_token_id]


def test_lone_surrogates_and_nul_are_read_and_not_refused():
    surrogate, question, nul = TOKENIZER.documents(["a \ud800 b", "a ? b", "\0"])
    assert surrogate.ids.tolist() == question.ids.tolist()
    assert nul.ids.tolist() == []


def test_no_texts_are_no_tokens():
    assert TOKENIZER.documents([]) == []


def test_a_truncation_and_padding_in_tokenizer_json_do_not_count():
    backend = AutoTokenizer.from_pretrained(BUILTIN).backend_tokenizer
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    tokenizer = PairTokenizer(backend, 512, segments=True)
    (tokens,) = tokenizer.documents(["one two three four five six"])
    assert len(tokens.ids) == 6
    assert tokens.ids.dtype == np.int32


def test_offsets_are_told_when_asked_for():
    (tokens,) = TOKENIZER.documents(["héllo bear"], offsets=True)
    assert tokens.offsets is not None
    assert tokens.offsets.tolist() == [[0, 5], [6, 10]]
    assert TOKENIZER.documents(["a"])[0].offsets is None
