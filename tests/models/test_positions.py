"""Padding, positions and pooling: which tokens count, where they stand, and which state is read."""

import json

import numpy as np
import pytest
from models.folders import CHAT, changed
from models.oracle import (
    DECODER,
    LONG,
    PAIRS,
    WORDS,
    assert_equal,
    bert_tokenizer,
    bpe_tokenizer,
    expected,
    framed_tokenizer,
    loaded,
    refusal,
    save,
    scored,
    unigram_tokenizer,
)
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from podium.errors import InvalidRequest
from podium.models.text.fitting import Limits, fit


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "mistral", "gpt2"])
def test_a_decoder_without_a_padding_token_needs_none(tmp_path, name):
    tokenizer = bpe_tokenizer()
    folder = save(tmp_path, "classifier", tokenizer, **{**DECODER, "model_type": name})
    wanted = expected(folder, WORDS, model_kwargs={})
    changed(folder, "config.json", pad_token_id=None)
    changed(folder, "tokenizer_config.json", pad_token=None)
    assert_equal(scored(loaded(folder), WORDS), wanted)


@pytest.mark.parametrize("template", ["pair", "chat"])
@pytest.mark.parametrize("name", ["qwen3", "smollm3"], ids=["packed", "padded"])
def test_padding_that_a_pair_ends_with_is_passed_over(tmp_path, name, template):
    tokenizer = bpe_tokenizer()
    pad = tokenizer.pad_token
    if template == "chat":
        tokenizer.chat_template = CHAT + pad * 2
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {pad}", pair=f"$A {pad} $B {pad}", special_tokens=[(pad, tokenizer.pad_token_id)]
    )
    folder = save(tmp_path, "classifier", tokenizer, **{**DECODER, "model_type": name})
    pairs = [*WORDS, ("panda", "")]
    assert_equal(scored(loaded(folder), pairs), expected(folder, pairs))
    changed(folder, "config.json", is_causal=False)
    assert f"pairs end with the padding token {tokenizer.pad_token_id} (pad_token_id)" in refusal(folder)


@pytest.mark.parametrize("pooling", ["bos", "mean", "late"])
def test_the_vendor_s_word_for_eurobert_s_pooling_counts(tmp_path, pooling):
    fields = {"model_type": "eurobert", "num_key_value_heads": 2, "classifier_pooling": pooling}
    folder = save(tmp_path, "classifier", framed_tokenizer(), **fields)
    wanted = expected(folder, WORDS)
    changed(folder, "config.json", classifier_pooling=None, clf_pooling=pooling)
    assert_equal(scored(loaded(folder), WORDS), wanted)


def test_positions_beyond_longrope_s_short_factors_are_not_served(tmp_path):
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "original_max_position_embeddings": 64}
    rope = {"rope_type": "longrope", "rope_theta": 10_000.0, **factors}
    fields = {**DECODER, "model_type": "llama", "rope_parameters": rope}
    folder = save(tmp_path, "classifier", bpe_tokenizer(), **fields)
    model = loaded(folder)
    told = (model.info.max_length, model.info.max_length_from)
    assert told == (64, "original_max_position_embeddings of longrope")
    short = [pair for pair in WORDS if len(" ".join(pair)) < 40]
    assert_equal(scored(model, WORDS + short)[len(WORDS) :], expected(folder, short))


def test_a_pair_without_a_token_is_refused_and_one_empty_text_is_not(tmp_path):
    folder = save(tmp_path, "classifier", bpe_tokenizer(), **{**DECODER, "model_type": "qwen3"})
    model = loaded(folder)
    limits = Limits(model.info.max_length, longest_first=model.info.longest_first)
    (none, word), (empty, document) = model.queries(["", "a"]), model.documents(["", "b"])
    with pytest.raises(InvalidRequest, match="there is nothing to score; send a query with words"):
        fit(none, empty, limits)
    for pair in (none, document), (word, empty):
        [fitted] = fit(*pair, limits)
        assert np.isfinite(model.score([model.pair(fitted.query, fitted.document)])).all()


def test_padding_written_in_a_text_is_text_and_moves_no_position(tmp_path):
    folder = save(
        tmp_path,
        "classifier",
        unigram_tokenizer(),
        model_type="xlm-roberta",
        type_vocab_size=1,
        max_position_embeddings=514,
    )
    model = loaded(folder)
    (tokens,) = model.documents(["a <pad> bear </s> <s>"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert not set(tokens.ids.tolist()) & {tokenizer.pad_token_id, tokenizer.eos_token_id, 0}


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta", "camembert", "data2vec-text"])
def test_positions_that_are_counted_from_padding_need_its_id(tmp_path, name):
    folder = save(tmp_path, "classifier", unigram_tokenizer(), model_type=name, max_position_embeddings=514)
    assert loaded(folder).info.max_length == 512
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, "pad_token_id": None}))
    assert "has `pad_token_id` null, and " in refusal(folder)


@pytest.mark.parametrize("name", ["nystromformer", "yoso"])
def test_positions_that_a_model_has_rows_for_beside_all_that_it_says_are_all_used(tmp_path, name):
    fields = {"model_type": name, "max_position_embeddings": 126, "type_vocab_size": 2}
    folder = save(tmp_path, "classifier", bert_tokenizer(), **fields)
    model = loaded(folder)
    assert (model.info.max_length, model.info.max_length_from) == (126, "positions")
    assert_equal(scored(model, LONG), expected(folder, LONG, max_length=126))


def test_positions_fewer_than_the_tokenizer_s_length_decide(tmp_path):
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 512
    folder = save(tmp_path, "classifier", tokenizer, model_type="bert", max_position_embeddings=40)
    model = loaded(folder)
    assert (model.info.max_length, model.info.max_length_from) == (40, "positions")
    assert_equal(scored(model, PAIRS + LONG), expected(folder, PAIRS + LONG))


@pytest.mark.parametrize("name", ["mpnet", "roberta", "camembert", "xlm-roberta"])
def test_positions_begin_where_the_model_s_own_do(tmp_path, name):
    folder = save(
        tmp_path, "classifier", unigram_tokenizer(), model_type=name, type_vocab_size=1,
        max_position_embeddings=1026,
    )  # fmt: skip
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS))
