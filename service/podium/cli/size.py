"""`podium size`."""

import json
import resource
import sys
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import Progress

from podium.cli import capacity
from podium.cli.options import setting_options, to_settings
from podium.cli.outcome import ends_by_reason
from podium.cli.progress import fetch_shown
from podium.errors import PodiumError
from podium.models.base import Encoding, Model
from podium.pace import as_served

if TYPE_CHECKING:
    from podium.settings import Settings

QUERY = "Where do pandas live, and what do they eat there?"
WORDS = "the of a river bank money panda lives in high mountains bamboo forest snow and eats leaves all day"


class Measured(NamedTuple):
    """What a model does on this machine, in requests of the asked kind."""

    request_s: float
    """Seconds of the model for one request."""
    tokenization_s: float
    """Seconds of the tokenizer for one request; it works beside the model."""
    tokens: int
    """Tokens of a pair, special tokens included."""


@click.command
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), required=True, help="Requests a second.")
@click.option("--documents", type=click.IntRange(min=1), required=True, help="Documents of a request.")
@click.option("--tokens", type=click.IntRange(min=1), required=True, help="Tokens of query and document.")
@click.option(
    "--busy",
    type=click.FloatRange(0.05, 0.95),
    default=0.7,
    show_default=True,
    help="Share of its time that a pod may work. More is cheaper, and waits longer at bursts.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=10,
    show_default=True,
    help="How long to measure; the first requests, which warm up, come before.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for pipes.")
@setting_options(
    "model", "revision", "device", "dtype", "max_length", "max_batch_tokens", "cache_dir", "offline"
)
@setting_options("instruction", "allow_pickle", "trust_remote_code")
def size(
    rate: float,
    documents: int,
    tokens: int,
    busy: float,
    seconds: float,
    as_json: bool,
    **values: str | None,
) -> None:
    """Say how many pods a load needs, how much memory each, and the latency to expect.

    The model is measured here, so run it on a machine like the cluster's, with nothing else on it, and with
    the cores that a pod will have (`taskset -c 0-3 podium size …`, or in a pod of the same resources).

    \b
    podium size --rate 20 --documents 50 --tokens 200
    podium size --model BAAI/bge-reranker-v2-m3 --rate 5 --documents 100 --tokens 400 --json

    What it assumes: requests come at random and independently, are all of this size, none is in the cache,
    and reach the pods evenly. Then a pod works `rate / pods × seconds of a request` of its time, and p95 is
    that of a queue of one server (M/D/1), the tokenizer's time added. Uneven sizes wait longer; the network
    comes on top.

    Exit codes: 0 done, 2 usage, 42 the model cannot be had or loaded, 75 trying again may help.
    """
    settings = to_settings(values.items())
    console = Console(stderr=True)
    with ends_by_reason(None):
        fetched = fetch_shown(settings)
        with console.status(f"Loading {escape(settings.model)} …"):
            from podium.loading import load_fetched  # torch, which no help needs

            model = load_fetched(fetched, settings)
    if tokens > model.info.max_length:
        tokens = model.info.max_length
        click.echo(f"podium: pairs are cut to {tokens} tokens, the model's length; sized for these", err=True)
    try:
        measured = measure(model, settings, documents, tokens, seconds, console)
    except PodiumError as error:
        raise click.ClickException(error.message) from None
    found = result(model, measured, rate, documents, busy)
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in as_lines(found):
        click.echo(line)


def measure(
    model: Model, settings: "Settings", documents: int, tokens: int, seconds: float, console: Console
) -> Measured:
    """Score requests of this size, in batches as the engine makes them, for so many seconds.

    Raises click.UsageError where a pair cannot have so few tokens, OutOfMemory where a batch does not fit.
    """
    from podium.models.readiness import warm_up

    warm_up(model)
    start = perf_counter()
    encodings = request(model, min(documents, 64), tokens)
    tokenization_s = (perf_counter() - start) * documents / len(encodings)
    encodings += [encodings[index % len(encodings)] for index in range(documents - len(encodings))]
    batches = as_served(model, encodings, settings.max_batch_tokens)
    scored, spent = 0, 0.0
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Measuring", total=seconds)
        for batch in cycle(batches):
            start = perf_counter()
            model.score(batch)
            spent += perf_counter() - start
            scored += len(batch)
            progress.update(task, completed=min(spent, seconds))
            if spent >= seconds:
                break
    return Measured(spent / scored * documents, tokenization_s, encodings[0].tokens)


def request(model: Model, documents: int, tokens: int) -> list[Encoding]:
    """Return the pairs of a request, each of exactly so many tokens."""
    (query,) = model.queries([QUERY])
    words = WORDS.split()
    texts = [" ".join(words[(index + at) % len(words)] for at in range(tokens)) for index in range(documents)]
    read = model.documents(texts)
    beside = model.pair(query, read[0]._replace(ids=read[0].ids[:1], ends=False)).tokens - 1
    if tokens <= beside:
        raise click.UsageError(f"--tokens: query and template alone take {beside} tokens; ask for more")
    wanted = tokens - beside
    return [model.pair(query, one._replace(ids=one.ids[:wanted], ends=False)) for one in read]


def result(model: Model, measured: Measured, rate: float, documents: int, busy: float) -> dict[str, Any]:
    """Return what is to be said; seconds, bytes and shares stand in the names."""
    from podium.models import devices

    info = model.info
    count = capacity.pods(rate, measured.request_s, busy)
    took = capacity.latencies(rate / count, measured.request_s) + measured.tokenization_s
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "model": info.uri,
        "device": info.device,
        "dtype": info.dtype,
        "cores": devices.cores(),
        "tokens_per_pair": measured.tokens,
        "documents_per_s": documents / measured.request_s,
        "tokens_per_s": documents * measured.tokens / measured.request_s,
        "pods": count,
        "busy_share": rate / count * measured.request_s,
        # Linux counts KiB, macOS bytes.
        "memory_bytes": resident * (1 if sys.platform == "darwin" else 1024) + capacity.SLACK_BYTES,
        "idle_s": measured.request_s + measured.tokenization_s,
        "p50_s": float(np.quantile(took, 0.5)),
        "p95_s": float(np.quantile(took, 0.95)),
    }


def as_lines(found: dict[str, Any]) -> list[str]:
    """Return the result as lines for people."""
    rows = {
        "measured": f"{found['model']} on {found['device']} in {found['dtype']}, {found['cores']} cores: "
        f"{found['documents_per_s']:,.1f} documents a second of {found['tokens_per_pair']} tokens, "
        f"{found['tokens_per_s']:,.0f} tokens a second",
        "pods": f"{found['pods']}, each busy {found['busy_share']:.0%} of its time",
        "memory": f"{decimal(found['memory_bytes'])} a pod",
        "latency": f"p95 {_seconds(found['p95_s'])}, p50 {_seconds(found['p50_s'])}, "
        f"{_seconds(found['idle_s'])} where nobody waits",
    }
    width = max(map(len, rows))
    return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
