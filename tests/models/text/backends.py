"""Tokenizers of each kind: real ones where their files are at hand, and small ones trained on a few lines."""

import base64
import functools
from pathlib import Path

from models import shared
from models.networks import BUILTIN
from tokenizers import AddedToken, Tokenizer, normalizers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, Unigram, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Metaspace, WhitespaceSplit
from tokenizers.processors import RobertaProcessing, TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers.convert_slow_tokenizer import TikTokenConverter

LINES = [
    "The giant panda is a bear species endemic to China.",
    "What is a panda? A bear, and it eats bamboo!",
    "question: query document passage Document Query Instruct yes no",
    "html <s> </s> <b>bold</b> <|im_end|> [SEP] and so on",
]

LLAMA_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(5, 251)),
]


def bert() -> Tokenizer:
    """The built-in model's: WordPiece, lowering."""
    return Tokenizer.from_file(str(BUILTIN / "tokenizer.json"))


def qwen3() -> Tokenizer:
    """Qwen3's: byte-level BPE, 26 added tokens of which 12 are not special."""
    return _read(shared.tokenizer("qwen3-0.6b") / "tokenizer.derived.json")


def roberta() -> Tokenizer:
    """RoBERTa's: byte-level BPE with its special tokens in the vocabulary."""
    return _read(shared.tokenizer("roberta-base") / "tokenizer.json")


def neox() -> Tokenizer:
    """OLMo's, of the kind of GPT-NeoX and ModernBERT: added tokens that are runs of blanks."""
    return _read(shared.tokenizer("olmo-gptneox") / "tokenizer.json")


def llama3() -> Tokenizer:
    """Llama 3's, converted by transformers from ranks, with the leading token that its own tokenizer adds."""
    return Tokenizer.from_str(_llama3())


@functools.cache
def _llama3() -> str:
    converter = Ranks(str(shared.tokenizer("llama3") / "tokenizer.model"), extra_special_tokens=LLAMA_TOKENS)
    backend = converter.converted()
    first = LLAMA_TOKENS[0]
    backend.post_processor = TemplateProcessing(
        single=f"{first} $A",
        pair=f"{first} $A {first} $B",
        special_tokens=[(first, backend.token_to_id(first))],
    )
    return backend.to_str()


class Ranks(TikTokenConverter):
    """Reads a file of ranks without the tiktoken package, which is not needed for it."""

    @staticmethod
    def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
        lines = (line.split() for line in Path(tiktoken_url).read_bytes().splitlines() if line)
        return {base64.b64decode(token): int(rank) for token, rank in lines}


def _read(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def unigram() -> Tokenizer:
    """Of the kind of XLM-RoBERTa: its special tokens are pieces of the vocabulary, which texts may find."""
    backend = Tokenizer(Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = Metaspace(prepend_scheme="always")
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = UnigramTrainer(
        vocab_size=120,
        special_tokens=specials,
        unk_token="<unk>",
        show_progress=False,
    )
    backend.train_from_iterator(LINES * 5, trainer)
    backend.add_tokens([AddedToken("<turn>", special=False, normalized=False)])
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    return backend


BLANKS = {
    "first": {"pre_tokenizer": Metaspace(prepend_scheme="first", split=False)},
    "always": {"pre_tokenizer": Metaspace(prepend_scheme="always", split=False)},
    "never": {"pre_tokenizer": Metaspace(prepend_scheme="never", split=False)},
    "words, first": {"pre_tokenizer": Metaspace(prepend_scheme="first")},
    "replaced": {"normalizer": normalizers.Replace(" ", "\u2581")},
    "prepended": {
        "normalizer": normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
    },
    "bytes": {"pre_tokenizer": ByteLevel(add_prefix_space=True)},
}


@functools.cache
def blanks(kind: str) -> Tokenizer:
    """Of the kinds of Mistral, Llama 2, Gemma and GPT-2: each puts a blank before a text in its own way."""
    backend = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True))
    for part, value in BLANKS[kind].items():
        setattr(backend, part, value)
    trainer = BpeTrainer(
        vocab_size=400,
        initial_alphabet=ByteLevel.alphabet(),
        special_tokens=["<unk>", "<s>"],
        show_progress=False,
    )
    backend.train_from_iterator([*LINES * 5, "\n", "\t"], trainer)
    backend.add_special_tokens(["[INST]", "[/INST]"])
    return backend


def byte_level(*added: str) -> Tokenizer:
    """A small one of the kind of Qwen, with special tokens and merely added ones."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    backend.train_from_iterator(LINES * 5, trainer)
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>", *added)])
    return backend


def words() -> Tokenizer:
    """Whole words between blanks, its special tokens among them."""
    names = ["[PAD]", "[UNK]", "[SEP]", "a", "b", "<s>", "SEP"]
    backend = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens(["[PAD]", "[UNK]", "[SEP]", "<s>"])
    return backend


def merging() -> Tokenizer:
    """A BPE whose merges lead to a special token, as those that are made of sentencepiece's may."""
    pieces = ["<unk>", "<", "s", ">", "/", "a", "<s", "<s>", "</", "</s", "</s>", "<s>a"]
    merges = [("<", "s"), ("<s", ">"), ("<", "/"), ("</", "s"), ("</s", ">"), ("<s>", "a")]
    backend = Tokenizer(BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return backend


KINDS = {
    "bert": bert,
    "qwen3": qwen3,
    "roberta": roberta,
    "neox": neox,
    "llama3": llama3,
    "unigram": unigram,
    "byte level": byte_level,
    "words": words,
    "merging": merging,
}
