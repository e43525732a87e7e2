"""`podium inspect`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.filesize import decimal

from podium.cli.options import setting_options, termination_log, to_settings
from podium.cli.outcome import ends_by_reason
from podium.cli.progress import fetch_shown
from podium.weights.fetch import Fetched

if TYPE_CHECKING:
    from podium.settings import Settings

QUERY = "What is a panda?"
DOCUMENT = "The giant panda is a bear that lives in China."


@click.command
@click.argument("model")
@setting_options(
    "revision",
    "family",
    "instruction",
    "max_length",
    "max_batch_tokens",
    "device",
    "dtype",
    "cache_dir",
    "offline",
    "allow_pickle",
    "trust_remote_code",
)
@click.option("--query", default=QUERY, show_default=True, help="Query of the sample pair.")
@click.option("--document", default=DOCUMENT, show_default=True, help="Document of the sample pair.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for pipes.")
@termination_log
def inspect(
    model: str,
    query: str,
    document: str,
    as_json: bool,
    termination_log: Path | None,
    **values: str | None,
) -> None:
    """Say how MODEL would be served and how it scores: its family and how that was recognised, a sample pair
    as the model reads it, what makes the score of it, length, precision, memory, and which files count.

    The model is loaded and tried as `podium serve` does it, and downloaded where it is not there.

    Exit codes: 0 done, 2 usage, 42 the model would be refused, with the reason, 75 trying again may help.
    """
    settings = to_settings({**values, "model": model}.items())
    with ends_by_reason(termination_log):
        fetched = fetch_shown(settings)
        found = describe(fetched, settings, query, document)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    width = max(map(len, found))
    for name, value in found.items():
        for line in _lines(name, value):
            click.echo(f"{name:<{width}}  {line}")
            name = ""


def describe(fetched: Fetched, settings: "Settings", query: str, document: str) -> dict[str, Any]:
    """Load a model and return what is to be said of it; raises PermanentStartError where it is refused."""
    from podium.loading import load_fetched
    from podium.models import inspection  # torch, which no help needs
    from podium.models.folder import read
    from podium.models.network.weights import config_of
    from podium.models.readiness import first_batches, warm_up
    from podium.models.text import files

    model = load_fetched(fetched, settings)
    with first_batches(model):
        warm_up(model)
    info, recipe, trusted = model.info, model.recipe, settings.trust_remote_code
    folder = read(fetched.folder)
    config = config_of(fetched.folder, recipe, trust_remote_code=trusted)
    (asked,), (offered,) = model.queries([query]), model.documents([document])
    pair = model.pair(asked, offered)
    ids = pair.ids.tolist()
    tokenizer = files.load(fetched.folder, config, trust_remote_code=trusted)
    tokens = settings.max_batch_tokens or info.max_batch_tokens
    batch = inspection.batch_bytes(config, tokens, 4 if info.dtype in {"float32", "int8"} else 2)
    return {
        "model": info.uri,
        "revision": info.revision,
        "folder": str(fetched.folder),
        "family": info.family,
        "recognised by": info.recognised_by,
        "template": recipe.template_described,
        "sample": tokenizer.decode(ids, clean_up_tokenization_spaces=False),
        "token ids": ids,
        "shared tokens": pair.shared,
        "attention": recipe.attention_described,
        "score": info.scoring,
        "activation": info.activation,
        "instruction": {"where": info.instruction_use, "default": info.instruction},
        "max length": {"tokens": info.max_length, "decided by": info.max_length_from},
        "architecture": info.architecture,
        "device": info.device,
        "dtype": info.dtype,
        "dtype from": info.dtype_from,
        "instruction set": info.instruction_set,
        "faster": info.faster,
        "threads": model.threads,
        "forward": info.forward,
        "memory": {
            "weights": decimal(info.weights_bytes),
            f"a batch of {tokens} tokens, about": decimal(batch),
        },
        "files used": inspection.files_used(folder, recipe),
        "files left aside": inspection.files_left_aside(folder, recipe),
        "notes": list(info.notes),
    }


def _lines(name: str, value: Any) -> list[str]:
    """Return a value as lines for people."""
    if isinstance(value, dict):
        return [f"{key}: {'none' if part is None else part}" for key, part in value.items()]
    if name == "token ids":
        return [" ".join(map(str, value))]
    if name == "sample":
        return [json.dumps(value, ensure_ascii=False)]
    if isinstance(value, list):
        return value or ["none"]
    return ["none" if value is None else str(value)]
