"""A folder scores as it does in Sentence Transformers, the reference, in each of its layouts."""

from typing import Any

import pytest
import torch
from models.folders import CHAT
from models.oracle import (
    DECODER,
    LONG,
    PAIRS,
    TOKENIZERS,
    assert_equal,
    bpe_tokenizer,
    expected,
    loaded,
    save,
    scored,
)
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {"model_type": "bert"}),
    "electra": ("bert", {"model_type": "electra", "embedding_size": 32}),
    "xlm-roberta": (
        "unigram",
        {"model_type": "xlm-roberta", "type_vocab_size": 1, "max_position_embeddings": 1026},
    ),
    "modernbert": ("framed", {"model_type": "modernbert", "classifier_pooling": "cls"}),
    "modernbert-mean": ("framed", {"model_type": "modernbert", "classifier_pooling": "mean"}),
    "deberta-v2": (
        "unigram",
        {
            "model_type": "deberta-v2",
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "pooler_hidden_size": 64,
        },
    ),
}
DECODERS: dict[str, dict[str, Any]] = {
    "qwen3": {"model_type": "qwen3"},
    "qwen2": {"model_type": "qwen2"},
    "llama": {"model_type": "llama"},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "gemma": {"model_type": "gemma"},
}


@pytest.fixture
def raw(tmp_path):
    """Return a function that saves a network with a tokenizer as transformers does."""

    def made(kind: str, tokenizer: str, *, chat: str | None = None, **fields: Any):
        fast = TOKENIZERS[tokenizer]()
        fast.chat_template = chat
        return save(tmp_path / "raw", kind, fast, **fields)

    return made


@pytest.mark.parametrize("name", ENCODERS)
def test_a_classifier_as_transformers_saves_it(raw, name):
    tokenizer, fields = ENCODERS[name]
    folder = raw("classifier", tokenizer, **fields)
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_classifier_as_the_library_saves_it_cut_to_its_length(raw, tmp_path, name):
    tokenizer, fields = ENCODERS[name]
    CrossEncoder(str(raw("classifier", tokenizer, **fields)), max_length=40).save_pretrained(
        str(tmp_path / "saved")
    )
    model = loaded(tmp_path / "saved")
    assert (model.info.family, model.info.max_length) == ("modular", 40)
    assert_equal(scored(model, PAIRS + LONG), expected(tmp_path / "saved", PAIRS + LONG))


@pytest.mark.parametrize("instruction", [None, "Find: ", ""])
@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_a_prompt_goes_before_the_query_of_an_encoder(raw, tmp_path, name, instruction):
    tokenizer, fields = ENCODERS[name]
    model = CrossEncoder(
        str(raw("classifier", tokenizer, **fields)),
        prompts={"find": "query: "},
        default_prompt_name="find",
    )
    model.save_pretrained(str(tmp_path / "saved"))
    podium = loaded(tmp_path / "saved")
    assert (podium.info.instruction, podium.info.instruction_use) == ("query: ", "before query")
    assert_equal(scored(podium, PAIRS, instruction), expected(tmp_path / "saved", PAIRS, instruction))


def stacked(backbone, folder, pooling: str, *modules: Any, **settings: Any):
    """Save a backbone with a pooling and further modules, their weights drawn wide."""
    transformer = Transformer(str(backbone), transformer_task="feature-extraction")
    torch.manual_seed(21)
    for module in modules:
        for parameter in module.parameters():
            parameter.data += torch.randn_like(parameter) * 0.1
    model = CrossEncoder(modules=[transformer, Pooling(64, pooling), *modules], **settings)
    model.save_pretrained(str(folder))
    return folder


def ettin() -> list[Any]:
    return [
        Dense(64, 64, bias=False, activation_function=torch.nn.GELU()),
        LayerNorm(64),
        Dense(64, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
@pytest.mark.parametrize("name", ["bert", "modernbert", "xlm-roberta"])
def test_a_backbone_with_pooling_and_modules(raw, tmp_path, name, pooling):
    tokenizer, fields = ENCODERS[name]
    folder = stacked(raw("base", tokenizer, **fields), tmp_path / "saved", pooling, *ettin())
    model = loaded(folder)
    assert (model.info.family, model.info.forward) == ("modular", "packed")
    assert_equal(scored(model, PAIRS), expected(folder, PAIRS))


@pytest.mark.parametrize(
    "modules",
    [
        lambda: [Dense(64, 1, module_output_name="scores")],
        lambda: [Normalize(), Dense(64, 1, bias=False, module_output_name="scores")],
        lambda: [
            Dense(64, 64, use_residual=True),
            Dense(64, 1, activation_function=torch.nn.Softplus(), module_output_name="scores"),
        ],
        lambda: [
            Dense(64, 32, use_residual=True, activation_function=torch.nn.SiLU(), module_output_name="x"),
            Normalize("x", "y"),
            Dense(32, 1, module_input_name="y", module_output_name="scores"),
        ],
    ],
    ids=["tanh", "normalized", "residual", "named"],
)
def test_modules_of_each_kind(raw, tmp_path, modules):
    tokenizer, fields = ENCODERS["bert"]
    folder = stacked(raw("base", tokenizer, **fields), tmp_path / "saved", "mean", *modules())
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS))


@pytest.mark.parametrize(
    ("tokenizer", "fields"),
    [
        ("bert", {"model_type": "distilbert", "dim": 64, "hidden_dim": 96, "n_layers": 1, "n_heads": 4}),
        ("unigram", {"model_type": "t5", "d_model": 64, "d_ff": 96, "d_kv": 16, "num_layers": 1}),
        ("unigram", {"model_type": "bart", "d_model": 64, "encoder_layers": 1, "decoder_layers": 1}),
        ("unigram", {"model_type": "xlnet", "d_model": 64, "n_head": 4, "n_layer": 1, "d_inner": 96}),
    ],
    ids=lambda fields: fields["model_type"] if isinstance(fields, dict) else "",
)
def test_a_backbone_that_calls_its_size_otherwise(raw, tmp_path, tokenizer, fields):
    folder = stacked(raw("base", tokenizer, **fields), tmp_path / "saved", "mean", *ettin())
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS, batch_size=1))


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_a_decoder_with_pooling_and_modules(raw, tmp_path, pooling):
    backbone = raw("base", "bpe", chat=CHAT, **{**DECODER, "model_type": "qwen3"})
    folder = stacked(backbone, tmp_path / "saved", pooling, *ettin())
    pairs = [pair for pair in PAIRS if all(pair)]
    assert_equal(scored(loaded(folder), pairs, "judge"), expected(folder, pairs, "judge"))


def generation(backbone, folder, true: str, false: str | None, **settings: Any):
    """Save a causal model whose score is a token's logit, or two tokens' difference."""
    transformer = Transformer(str(backbone), transformer_task="text-generation")
    ids = bpe_tokenizer().convert_tokens_to_ids([true, false or true])
    score = LogitScore(true_token_id=ids[0], false_token_id=ids[1] if false else None)
    CrossEncoder(modules=[transformer, score], **settings).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("instruction", [None, "Judge <b>it</b>."])
@pytest.mark.parametrize("name", DECODERS)
def test_a_causal_model_scores_by_two_tokens(raw, tmp_path, name, instruction):
    folder = generation(
        raw("causal", "bpe", chat=CHAT, **{**DECODER, **DECODERS[name]}), tmp_path / "saved", "yes", "no"
    )
    model = loaded(folder)
    assert model.info.scoring.startswith("last token: row ")
    assert_equal(scored(model, PAIRS, instruction), expected(folder, PAIRS, instruction))


def test_a_causal_model_scores_by_one_token_with_a_saved_prompt(raw, tmp_path):
    backbone = raw("causal", "bpe", chat=CHAT, **{**DECODER, "model_type": "qwen3"})
    settings = {"prompts": {"judge": "Judge it."}, "default_prompt_name": "judge"}
    folder = generation(backbone, tmp_path / "saved", "yes", None, **settings)
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS))


def test_a_causal_model_whose_output_embedding_is_not_its_input_s(raw, tmp_path):
    fields = {**DECODER, "model_type": "qwen3", "tie_word_embeddings": False}
    folder = generation(raw("causal", "bpe", chat=CHAT, **fields), tmp_path / "saved", "yes", "no")
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS))


@pytest.mark.parametrize("instruction", [None, "Judge it."])
def test_a_causal_model_without_modules_says_yes_or_no(raw, instruction):
    folder = raw("causal", "bpe", chat=CHAT, **{**DECODER, "model_type": "qwen3"})
    assert_equal(scored(loaded(folder), PAIRS, instruction), expected(folder, PAIRS, instruction))


@pytest.mark.parametrize("chat", [CHAT, None], ids=["chat template", "plain pair"])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_with_one_label(raw, name, chat):
    folder = raw("classifier", "bpe", chat=chat, **{**DECODER, **DECODERS[name]})
    # of nothing at all there is no last token
    pairs = PAIRS if chat else [pair for pair in PAIRS if any(pair)]
    assert_equal(scored(loaded(folder), pairs), expected(folder, pairs))


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "granite", "olmo2", "phi3", "smollm3"])
def test_another_causal_model_scores_by_two_tokens(raw, tmp_path, name):
    own = {"logits_scaling": 4.0, "embedding_multiplier": 2.0} if name == "granite" else {}
    folder = generation(
        raw("causal", "bpe", chat=CHAT, **{**DECODER, **own, "model_type": name}),
        tmp_path / "saved",
        "yes",
        "no",
    )
    # GPT-2 counts positions from the padding that stands before a shorter pair, so pairs are scored alone
    alone = {"batch_size": 1} if name == "gpt2" else {}
    assert_equal(scored(loaded(folder), PAIRS), expected(folder, PAIRS, **alone))


@pytest.mark.parametrize("name", ["gemma2", "gpt2", "gpt_neox", "olmo2", "phi3", "smollm3", "opt", "bloom"])
def test_a_classifier_of_another_decoder(raw, name):
    folder = raw("classifier", "bpe", **{**DECODER, "model_type": name})
    pairs = [pair for pair in PAIRS if all(pair)]
    assert_equal(scored(loaded(folder), pairs), expected(folder, pairs))


def test_documents_that_are_cut_score_as_in_the_reference_where_they_come_last(raw, tmp_path):
    folder = generation(
        raw("causal", "bpe", chat=CHAT, **{**DECODER, "model_type": "qwen3"}), tmp_path / "saved", "yes", "no"
    )
    model = loaded(folder, max_length=96)
    assert_equal(scored(model, LONG), expected(folder, LONG, max_length=96))
