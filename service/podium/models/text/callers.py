"""The tokenizer that reads callers' texts: it knows no control tokens, so no text can write one.

The tokenizers library has a flag for special tokens, and it is no way: merely added tokens (`<think>`) ignore
it, a vocabulary finds `</s>` among its pieces all the same, and it is one flag for all threads. So callers'
texts have a tokenizer of their own, made once, in which control tokens bear names that no text can guess.
"""

import json
import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace

BLANKS = " \t\r\n\u2581"
"""Characters of added tokens that are mere white space; the last one is sentencepiece's."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""Name of the piece for one byte, where a tokenizer falls back to bytes."""


def control_tokens(backend: Tokenizer, template: str = "") -> Mapping[int, str]:
    """Return the added tokens that steer a model, by their ids.

    Those are the special ones, those that look like a mark (`<think>`, `[unused1]`, `|||PHONE|||`), and those
    that `template` writes. What remains is text: words, runs of blanks, and the bytes of characters that a
    vocabulary has no other piece for, which its model finds by their names.
    """
    bytes_ = getattr(backend.model, "byte_fallback", True)  # a Unigram does not tell
    return {
        number: token.content
        for number, token in backend.get_added_tokens_decoder().items()
        if not (bytes_ and _BYTE.fullmatch(token.content))
        and (
            token.special
            or marks(token.content)
            or (token.content.strip(BLANKS) and token.content in template)
        )
    }


def clean(text: str) -> str:
    """Return text without lone surrogates, which the library refuses; `?` stands for each."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def marks(content: str) -> bool:
    """Whether a token begins and ends with a sign and has letters or digits between."""
    inner = content.strip(BLANKS)
    return any(map(str.isalnum, inner)) and not inner[0].isalnum() and not inner[-1].isalnum()


def without(backend: Tokenizer, control: Collection[str], *, used_up: bool = False) -> Tokenizer:
    """Return a tokenizer that reads everything as `backend` does, and `control` as the characters it is.

    `used_up`: `backend` is of no use afterwards, so that two vocabularies are never in memory: XLM-RoBERTa's
    takes half a gigabyte.
    """
    new = {name: f"{secrets.token_hex(16)}-{place}" for place, name in enumerate(sorted(control))}
    # pieces of a vocabulary are renamed in its JSON, 1.4 s of work for 150,000 pieces; else it can be shared
    if not any(backend.model.token_to_id(name) is not None for name in control):
        shared = _sharing(backend, new)
        if shared is not None:
            return shared
    fields = json.loads(backend.to_str())
    if used_up:
        backend.model = BPE()
    for token in fields["added_tokens"]:
        if token["content"] in new:
            token.update(content=new[token["content"]], special=False, normalized=False)
            token.update(lstrip=False, rstrip=False, single_word=False)
    _rename(fields["model"], new)
    return _unbounded(Tokenizer.from_str(json.dumps(fields)))


def without_first_blank(backend: Tokenizer) -> Tokenizer:
    """Return what reads a text inside another one, where `backend` puts a blank before the whole alone."""
    fields = json.loads(backend.to_str()) if isinstance(backend.pre_tokenizer, Metaspace) else {}
    if fields.get("pre_tokenizer", {}).get("prepend_scheme") != "first":
        return backend
    fields["pre_tokenizer"]["prepend_scheme"] = "never"
    return _unbounded(Tokenizer.from_str(json.dumps(fields)))


def _sharing(backend: Tokenizer, new: Mapping[str, str]) -> Tokenizer | None:
    """Build on the same model with its added tokens renamed; None where they would get other ids."""
    copy = Tokenizer(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor"):
        if (found := getattr(backend, part)) is not None:
            setattr(copy, part, found)
    added = sorted(backend.get_added_tokens_decoder().items())
    copy.add_tokens(
        [
            AddedToken(new[token.content], normalized=False, special=False) if token.content in new else token
            for _, token in added
        ]
    )
    same = all(copy.token_to_id(new.get(token.content, token.content)) == number for number, token in added)
    return _unbounded(copy) if same else None


def _rename(model: dict[str, Any], new: Mapping[str, str]) -> None:
    """Give pieces other names, and drop the merges that lead to them."""
    pieces = model["vocab"]
    if isinstance(pieces, list):
        # scores stay: that of the unknown piece depends on the least of them
        model["vocab"] = [[new.get(name, name), score] for name, score in pieces]
    else:
        model["vocab"] = {new.get(name, name): number for name, number in pieces.items()}
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = new.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [
            [left, right] for left, right in pairs if not {left, right, left + right[prefix:]} & new.keys()
        ]


def _unbounded(backend: Tokenizer) -> Tokenizer:
    """Take away what tokenizer.json may say of truncation and padding: lengths are the fitting's business."""
    backend.no_truncation()
    backend.no_padding()
    return backend
