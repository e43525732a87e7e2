"""From a folder's files to the tokenizer that transformers makes of them, or a refusal that names them."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from podium.models.folder import first_line, refused
from podium.models.text.callers import control_tokens, marks

_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    "added_tokens.json",
    "special_tokens_map.json",
)


def load(folder: Path, config: Any, *, trust_remote_code: bool) -> Any:
    """Return the fast tokenizer in a folder; no network is used.

    An unknown `tokenizer_class` is read as transformers does it: tokenizer.json as it is, without token
    types. Raises PermanentStartError where files are missing or broken, or where it has other tokens than the
    network's `vocab_size` has rows.
    """
    there = sorted(path.name for name in _NAMES for path in folder.glob(name))
    files = ", ".join(there) or "no file of a tokenizer"
    models = [name for name in there if name.endswith(".model")]
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=config, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # files make the libraries raise anything; one sentence follows
        if models and "tokenizer.json" not in there:
            raise refused(
                f"the tokenizer in `{folder}` is {models[0]} without tokenizer.json, which Podium reads; "
                "save it anew where sentencepiece or tiktoken is installed: "
                "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
            ) from error
        raise refused(
            f"the tokenizer in `{folder}` cannot be loaded from its files ({files}): {first_line(error)}"
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise refused(
            f"the tokenizer in `{folder}` is a {type(tokenizer).__name__}, written in Python; Podium needs "
            f"tokenizer.json and finds {files}"
        )
    pieces = backend.get_vocab(with_added_tokens=False)
    control = control_tokens(backend)
    # where its files are missing, transformers makes one of the special tokens alone
    if not any(piece not in control.values() and not marks(piece) for piece in pieces):
        raise refused(
            f"the tokenizer in `{folder}` knows no words: the folder holds {files}; fetch the whole model "
            "again"
        )
    rows = getattr(config, "vocab_size", None)
    highest = max(number for number in backend.get_vocab().values() if number not in control)
    if isinstance(rows, int) and highest >= rows:
        raise refused(
            f"the tokenizer in `{folder}` has a token with id {highest}, and the model {rows} rows "
            "(vocab_size of config.json): it is the tokenizer of another model"
        )
    return tokenizer
