"""What a folder's files are used for, and how much memory a model takes: facts for people, pure."""

from fnmatch import fnmatchcase
from typing import Any

from podium.models.folder import INDEX, MODULES, OBJECTS, Folder, module_path
from podium.models.recipe import Chat, Recipe

_TOKENIZERS = (
    ("tokenizer.json",),
    ("vocab.txt", "vocab.json", "merges.txt", "*.model", "*.tiktoken"),
)
"""Files of a tokenizer; the first group that is there is read."""

_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

_OWN = ".podium-"
"""How the names of Podium's own files in a folder begin; they are of use, and no part of the model."""


def files_used(folder: Folder, recipe: Recipe) -> list[str]:
    """Return the files that scoring by a recipe takes anything from, in the folder's order."""
    used = {"config.json", *_BESIDE}
    tokenizers = next((group for group in _TOKENIZERS if _any(folder.files, group)), ())
    weights = {tensor.file for tensor in folder.tensors.values()} or set(folder.pickles)
    used |= {file for file in folder.files if _any((file,), tokenizers)} | weights
    if folder.tensors and INDEX in folder.files and "model.safetensors" not in weights:
        used.add(INDEX)
    if isinstance(recipe.template, Chat) and folder.chat_template_from:
        used.add(folder.chat_template_from)
    if recipe.in_modules:
        sentence = (name for name in OBJECTS if name.startswith("sentence_") and folder.object(name))
        used |= {MODULES, "config_sentence_transformers.json", *sentence}
        for entry in folder.json[MODULES]:
            if path := module_path(entry):
                used |= {file for file in folder.files if file.startswith(f"{path}/")}
    return [file for file in folder.files if file in used]


def files_left_aside(folder: Folder, recipe: Recipe) -> list[str]:
    """Return the other files, in the folder's order."""
    used = set(files_used(folder, recipe))
    return [file for file in folder.files if file not in used and not file.startswith(_OWN)]


def batch_bytes(config: Any, tokens: int, item_bytes: int) -> int:
    """Estimate the memory that a forward of so many tokens takes beside the weights, in bytes.

    `config` is transformers' one; `item_bytes` are those of a number. Counted are states and the widest
    layer; attention's own temporaries are small beside them but for pairs of thousands of tokens. Where a
    config says nothing of its feed-forward or its heads under their usual names (DistilBERT, T5, FNet), it
    counts as a layer of the usual proportions, four times as wide as its states.
    """
    config = config.get_text_config()
    hidden: int = getattr(config, "hidden_size", None) or config.d_model
    heads = getattr(config, "num_attention_heads", None) or 1
    head = getattr(config, "head_dim", None) or hidden // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    attention = (2 * heads + 2 * keys) * head
    return int(tokens * item_bytes * (4 * hidden + attention + 2 * inner))


def _any(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns if "/" not in name)
