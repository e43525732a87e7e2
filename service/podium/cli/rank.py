"""`podium rank`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.text import Text

from podium import ranking
from podium.batching import cut
from podium.calls import limits_of
from podium.cli.options import setting_options, to_settings
from podium.cli.outcome import ends_by_reason
from podium.cli.progress import fetch_shown
from podium.errors import ModelFailed, PodiumError
from podium.models.base import Model
from podium.models.text.fitting import fit
from podium.models.text.reading import read_documents, read_queries
from podium.ranking import Ranking, RankRequest, Usage

BATCH_TOKENS = 4096
"""Tokens of a batch at most, or one pair: enough to keep a processor busy, and a progress bar moving."""

BAR = 16
"""Characters of a full bar."""

SOURCE = 24
"""Characters of a source in the table, its end where it is longer."""


class Document(NamedTuple):
    """A text to rank, and where it came from: `notes.txt`, or `notes.txt:12` for a line of it."""

    text: str
    source: str


@click.command
@click.argument("query")
@click.argument(
    "files", nargs=-1, metavar="[FILE...|-]", type=click.Path(allow_dash=True, dir_okay=False, exists=True)
)
@click.option("--by", type=click.Choice(["line", "file"]), help="What a document is; default: see above.")
@click.option("--top-n", type=click.IntRange(min=1), metavar="N", help="Only the N best.")
@click.option("--raw", is_flag=True, help="Logits in place of scores from 0 to 1.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for pipes.")
@setting_options("model", "revision", "device", "dtype", "max_length", "cache_dir", "offline")
@setting_options("instruction", "allow_pickle", "trust_remote_code")
def rank(
    query: str,
    files: tuple[str, ...],
    by: str | None,
    top_n: int | None,
    raw: bool,
    as_json: bool,
    **values: str | None,
) -> None:
    """Rank documents for QUERY, best first.

    With no FILE, or `-`, each line of the standard input is a document; with one FILE each of its lines;
    with several FILEs each file is one. `--by` says otherwise. Blank lines are left out.

    \b
    podium rank "how do pandas live" notes.txt
    grep -h panda *.txt | podium rank "how do pandas live" --top-n 3
    podium rank "how do pandas live" docs/*.md --json | jq -r .source
    """
    settings = to_settings(values.items())
    documents = read(files or ("-",), by or ("file" if len(files) > 1 else "line"))
    if not documents:
        raise click.UsageError("there is no document to rank: every line is blank")
    console = Console(stderr=True)
    with ends_by_reason(None):
        fetched = fetch_shown(settings)
        with console.status(f"Loading {escape(settings.model)} …"):
            from podium.loading import load_fetched  # torch, which no help needs

            model = load_fetched(fetched, settings)
    try:
        result = score(model, query, [document.text for document in documents], console, top_n=top_n, raw=raw)
    except PodiumError as error:
        raise click.ClickException(error.message) from None
    except Exception as error:  # noqa: BLE001 whatever a model raises on a batch, one line says it
        why = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        raise click.ClickException(f"the model failed on these documents: {why}") from None
    if result.usage.truncated_documents:
        limit = model.info.max_length
        click.echo(
            f"podium: {result.usage.truncated_documents} documents were cut to {limit} tokens", err=True
        )
    if as_json:
        for line in as_json_lines(result, documents):
            click.echo(line)
    else:
        out = Console()
        out.print(as_table(result, documents, out.width))


def read(files: Sequence[str], by: str) -> list[Document]:
    """Read the documents; `-` is the standard input. Bytes that are not UTF-8 become U+FFFD."""
    documents = []
    for file in files:
        if file == "-":
            if sys.stdin.isatty():
                click.echo("podium: type documents, one a line; Ctrl-D ends them", err=True)
            text = sys.stdin.buffer.read().decode(errors="replace")
        else:
            text = Path(file).read_text("utf-8", errors="replace")
        if by == "file":
            documents.append(Document(text, file))
        else:
            lines = enumerate(text.split("\n"), 1)
            documents += [Document(line.strip(), f"{file}:{n}") for n, line in lines if line.strip()]
    return documents


def score(
    model: Model, query: str, documents: Sequence[str], console: Console, *, top_n: int | None, raw: bool
) -> Ranking:
    """Rank documents with a model in this thread, the longest first, with a bar on a terminal.

    Raises ModelFailed, or OutOfMemory where a batch does not fit the device.
    """
    limits = limits_of(RankRequest(queries=[query], documents=documents), model.info)
    (of_query,) = read_queries(model, [query], limits)
    pairs = [
        fit(of_query, tokens, limits)[0] for tokens in read_documents(model, documents, limits, [of_query])
    ]
    encodings = [model.pair(*pair[:2]) for pair in pairs]
    logits = np.empty(len(encodings), np.float32)
    by_length = sorted(range(len(encodings)), key=lambda index: -encodings[index].tokens)
    steps = [
        [by_length[position] for position in batch]
        for batch in cut([encodings[index] for index in by_length], BATCH_TOKENS, padded=model.pads)
    ]
    for step in track(steps, "Ranking", console=console, transient=True, disable=len(steps) == 1):
        logits[step] = model.score([encodings[index] for index in step])
    if not np.isfinite(logits).all():
        raise ModelFailed("the model gave a score that is not a number; try `--dtype float32`")
    usage = Usage(
        sum(len(encoding.ids) for encoding in encodings), sum(encoding.cut for encoding in encodings)
    )
    return ranking.rank(logits, usage, top_n=top_n, raw_scores=raw)


def as_json_lines(result: Ranking, documents: Sequence[Document]) -> list[str]:
    """Return an object a document, best first: `index` counts the input from 0."""
    return [
        json.dumps(
            {
                "index": index,
                "score": result.scores[index],
                "document": documents[index].text,
                "source": documents[index].source,
            },
            ensure_ascii=False,
        )
        for index in result.order
    ]


def as_table(result: Ranking, documents: Sequence[Document], width: int) -> Table:
    """Return a row a document, best first, with its score as a bar, in `width` characters."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    sources = [_end(document.source) for document in documents]
    source_width = max(6, *map(len, sources))
    # Widths are given: left to itself, rich takes them from the scores when a document is long.
    table.add_column("score", justify="right", width=8)
    table.add_column("", style="cyan", width=BAR)
    table.add_column("source", style="dim", width=source_width)
    table.add_column("document", no_wrap=True, width=max(20, width - 8 - BAR - source_width - 6))
    shown = [result.scores[index] for index in result.order]
    # Scores from 0 to 1 fill their share of the bar; logits theirs of what is between the least and the best.
    least, best = (min(shown), max(shown)) if min(shown) < 0 or max(shown) > 1 else (0.0, 1.0)
    for index, value in zip(result.order, shown, strict=True):
        filled = (value - least) / (best - least) if best > least else 1.0
        text = " ".join(documents[index].text.split())
        # Text, because a plain string's [brackets] would be read as markup.
        table.add_row(f"{value:.4f}", bar(filled), Text(sources[index]), Text(text))
    return table


def _end(source: str) -> str:
    return source if len(source) <= SOURCE else f"…{source[1 - SOURCE :]}"


def bar(filled: float) -> str:
    """Draw a share from 0 to 1 in eighths of a character."""
    eighths = round(filled * BAR * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
