"""Each family scores as its vendor's documented formula, written anew from transformers' own classes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import shared
from models.oracle import DECODER, LONG, PAIRS, assert_equal, bpe_tokenizer, loaded, save, scored
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from tokenizers import processors
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from podium.models import devices

QWEN3, QWEN2 = {**DECODER, "model_type": "qwen3"}, {**DECODER, "model_type": "qwen2"}
RERANKER = {**QWEN3, "vocab_size": 151_669, "max_position_embeddings": 40_960}
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
JUDGE = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
BINARY = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
    "providing a prediction of either 'Yes' or 'No'."
)


@torch.inference_mode()
def last_logits(folder: Path, read: Callable[[Any, str, str], list[int]]) -> np.ndarray:
    """Return the logits of the whole vocabulary at the last token of each pair, one pair at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return np.stack([model(torch.tensor([read(tokenizer, *pair)])).logits[0, -1].numpy() for pair in PAIRS])


def plain(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def qwen3(tokenizer: Any, query: str, document: str, instruction: str = INSTRUCTION) -> list[int]:
    """QwenLM/Qwen3-Embedding, README: prefix, body and suffix are tokenized by themselves."""
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    body = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    return [number for text in (prefix, body, suffix) for number in plain(tokenizer, text)]


def mxbai(tokenizer: Any, query: str, document: str, instruction: str | None = None) -> list[int]:
    """vLLM, mxbai_rerank_v2.jinja; the instruction as in mixedbread-ai/mxbai-rerank."""
    asked = f"instruction: {instruction}\n" if instruction else ""
    return plain(
        tokenizer,
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{asked}query: {query}\ndocument: {document}\n{JUDGE}<|im_end|>\n"
        "<|im_start|>assistant\n",
    )


def zerank(tokenizer: Any, query: str, document: str) -> list[int]:
    """zeroentropy/zerank-2, modeling_zeranker.py: ChatML with system and user, both stripped."""
    return plain(
        tokenizer,
        f"<|im_start|>system\n{query.strip()}<|im_end|>\n<|im_start|>user\n{document.strip()}<|im_end|>\n"
        "<|im_start|>assistant\n",
    )


def ctxl(tokenizer: Any, query: str, document: str, instruction: str = "") -> list[int]:
    """ContextualAI's model cards, format_prompts."""
    asked = f" {instruction}" if instruction else ""
    return plain(
        tokenizer,
        "Check whether a given document contains information helpful to answer the query.\n"
        f"<Document> {document}\n<Query> {query}{asked} ??",
    )


def gemma(tokenizer: Any, query: str, document: str) -> list[int]:
    """FlagEmbedding, decoder_only/base.py: the leading token, then each piece by itself."""
    pieces = (f"A: {query}", "\n", f"B: {document}", "\n", BINARY)
    return [tokenizer.bos_token_id, *(number for piece in pieces for number in plain(tokenizer, piece))]


@pytest.mark.parametrize("instruction", [None, "Judge it."])
def test_qwen3_reranker_says_yes_or_no(tmp_path, instruction):
    folder = save(tmp_path, "causal", bpe_tokenizer(), **RERANKER)
    model = loaded(folder)
    assert model.info.family == "qwen3-reranker"
    yes, no = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["yes", "no"])
    logits = last_logits(folder, lambda *pair: qwen3(*pair, instruction or INSTRUCTION))
    assert_equal(scored(model, PAIRS, instruction), logits[:, yes] - logits[:, no])


def test_qwen3_reranker_with_its_own_tokenizer(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(shared.tokenizer("qwen3-0.6b"))
    folder = save(tmp_path, "causal", tokenizer, **RERANKER)
    logits = last_logits(folder, qwen3)
    assert_equal(scored(loaded(folder), PAIRS), logits[:, 9693] - logits[:, 2152])


@pytest.mark.parametrize("labels", [{"0": "LABEL_0"}, {"0": "no", "1": "yes"}], ids=["one", "two"])
def test_converted_qwen3_rerankers_score_as_the_original_does(tmp_path, labels):
    original = save(tmp_path / "original", "causal", bpe_tokenizer(), **RERANKER)
    yes, no = AutoTokenizer.from_pretrained(original).convert_tokens_to_ids(["yes", "no"])
    names = {int(key): name for key, name in labels.items()}
    folder = save(
        tmp_path / "converted", "classifier", bpe_tokenizer(), **{**RERANKER, "num_labels": len(labels)},
        id2label=names,
    )  # fmt: skip
    tensors = load_file(original / "model.safetensors")
    output = tensors.pop("lm_head.weight")
    rows = output[[no, yes]] if len(labels) == 2 else output[[yes]] - output[[no]]
    save_file({**tensors, "score.weight": rows.clone()}, folder / "model.safetensors", {"format": "pt"})
    assert_equal(scored(loaded(folder), PAIRS), scored(loaded(original), PAIRS))


@pytest.mark.parametrize("instruction", [None, "Judge it."])
def test_mxbai_v2_says_1_or_0(tmp_path, instruction):
    folder = save(tmp_path, "causal", bpe_tokenizer(), **QWEN2)
    model = loaded(folder, name="mixedbread-ai/mxbai-rerank-base-v2")
    one, zero = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["1", "0"])
    logits = last_logits(folder, lambda *pair: mxbai(*pair, instruction))
    assert_equal(scored(model, PAIRS, instruction), logits[:, one] - logits[:, zero])


def test_zerank_is_one_logit_divided_by_5(tmp_path):
    tokenizer = bpe_tokenizer()
    folder = save(tmp_path, "causal", tokenizer, **QWEN3)
    model = loaded(folder, name="hf://zeroentropy/zerank-2")
    yes = tokenizer.convert_tokens_to_ids("Yes")
    assert_equal(scored(model, PAIRS), last_logits(folder, zerank)[:, yes] / 5)


@pytest.mark.parametrize("instruction", [None, "Judge it."])
def test_ctxl_reads_the_document_first_and_the_first_row(tmp_path, instruction):
    folder = save(tmp_path, "causal", bpe_tokenizer(), **QWEN3)
    model = loaded(folder, family="ctxl-rerank-v2")
    logits = last_logits(folder, lambda *pair: ctxl(*pair, instruction or ""))
    assert_equal(scored(model, PAIRS, instruction), logits[:, 0])


def bos_tokenizer(bos: str) -> Any:
    """Return a tokenizer of Llama 3's and Gemma's kind: a leading token before each text."""
    tokenizer = bpe_tokenizer()
    tokenizer.add_special_tokens({"bos_token": bos})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    return tokenizer


def test_bge_gemma_is_tokenized_in_pieces(tmp_path):
    tokenizer = bos_tokenizer("<bos>")
    folder = save(tmp_path, "causal", tokenizer, **{**DECODER, "model_type": "gemma"})
    model = loaded(folder, name="BAAI/bge-reranker-v2-gemma")
    yes = tokenizer.convert_tokens_to_ids("Yes")
    assert_equal(scored(model, PAIRS), last_logits(folder, gemma)[:, yes])


NEMOTRON = {
    **DECODER,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}


@torch.inference_mode()
def nemotron(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], temperature: float) -> np.ndarray:
    """The checkpoint's modeling file: bidirectional attention, mean of all tokens, a row, a temperature."""
    scores = []
    for query, document in pairs:
        ids = torch.tensor([tokenizer(f"question:{query} \n \n passage:{document}")["input_ids"]])
        assert ids[0, 0] == tokenizer.bos_token_id
        mask = torch.zeros(1, 1, ids.shape[1], ids.shape[1])
        states = model.model(ids, attention_mask=mask).last_hidden_state
        scores.append(model.score(states.mean(1))[0, 0] / temperature)
    return torch.stack(scores).numpy()


def nemotron_folder(folder: Path, vision: bool, temperature: float) -> tuple[Path, Any, Any]:
    """Save a small Nemotron reranker as NVIDIA does; return also the Llama and the tokenizer inside."""
    tokenizer = bos_tokenizer("<|begin_of_text|>")
    config = LlamaConfig(**NEMOTRON, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(22)
    model = LlamaForSequenceClassification(config).eval()
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    text = {**config.to_dict(), "model_type": "llama_bidirec", "architectures": ["LlamaBidirectionalModel"]}
    said: dict[str, Any] = {"pooling": "avg", "temperature": temperature, "id2label": {"0": "LABEL_0"}}
    if vision:
        tensors = {
            name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name: value
            for name, value in tensors.items()
        }
        tensors["model.vision_model.embeddings.weight"] = torch.randn(8, 8)
        tensors["model.mlp1.1.weight"] = torch.randn(8, 8)
        said |= {
            "architectures": ["LlamaNemotronVLForSequenceClassification"],
            "model_type": "llama_nemotron_vl_rerank",
            "llm_config": text,
            "vision_config": {"model_type": "siglip_vision_model"},
            "auto_map": {"AutoConfig": "configuration_llama_nemotron_vl.Config"},
        }
    else:
        said = text | said | {"architectures": ["LlamaBidirectionalForSequenceClassification"]}
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(said, default=str))
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


@pytest.mark.parametrize("vision", [False, True], ids=["text", "vision and language"])
def test_nemotron_is_bidirectional_and_its_mean_counts_the_leading_token(tmp_path, vision):
    folder, network, tokenizer = nemotron_folder(tmp_path / "model", vision, 2.5)
    model = loaded(folder)
    assert (model.info.family, model.info.forward) == ("llama-nemotron-rerank", "packed")
    assert ("the vision tower is not loaded: text only" in model.info.notes) is vision
    assert_equal(scored(model, PAIRS + LONG), nemotron(network, tokenizer, PAIRS + LONG, 2.5))


@pytest.mark.parametrize("kind", ["qwen3", "nemotron"])
def test_bfloat16_ranks_as_float32_does(tmp_path, kind):
    able = [devices.name(each) for each in devices.dtypes(torch.device("cpu"))]
    if "bfloat16" not in able:
        pytest.skip(f"this processor computes in {', '.join(able)}: run where it has bfloat16")
    if kind == "qwen3":
        fields = {**RERANKER, "initializer_range": 0.2, "num_hidden_layers": 2}
        folder = save(tmp_path / "model", "causal", bpe_tokenizer(), **fields)
    else:
        folder, *_ = nemotron_folder(tmp_path / "model", False, 1.0)
    draw, words = (
        np.random.default_rng(5),
        ["panda", "bamboo", "China", "12", "kg", "yes", "no", "eats", "大熊猫", "system", "leaves."],
    )
    pairs = [
        (" ".join(draw.choice(words, 6)), " ".join(draw.choice(words, draw.integers(1, 60))))
        for _ in range(80)
    ]
    exact, fast = scored(loaded(folder), pairs), scored(loaded(folder, "bfloat16"), pairs)
    assert spearmanr(exact, fast).statistic >= 0.999
