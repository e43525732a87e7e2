"""`podium bench`."""

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import click
import msgspec
import torch
from msgspec import structs
from rich.console import Console
from rich.progress import Progress

from podium.bench import bare, beside, families, load, reference, table
from podium.bench.families import FAMILIES, Family
from podium.bench.results import Report
from podium.bench.server import serving
from podium.bench.shapes import SHAPES, Shape, folder_of
from podium.bench.texts import Pair, pairs
from podium.models import devices

ALONE_S = 12.0
"""Seconds of the bare model where it is not served: less would catch one whim of the host."""

BESIDE_S = 5.0
"""Seconds of the bare model before and after each figure over HTTP, which is compared with both: the host
sways from minute to minute."""

FAIR_S = 20.0
"""Seconds of the fairness run; it ends with the requests that are then under way."""

Step = tuple[str, Callable[[], None]]


@click.command
@click.option("--full", is_flag=True, help="1,000 pairs in place of 200, and every dtype over HTTP.")
@click.option(
    "--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here too."
)
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice([one.name for one in (*SHAPES, *FAMILIES)]),
    help="Only this one; may be given several times.",
)
def bench(full: bool, output: Path | None, names: tuple[str, ...]) -> None:
    """Measure Podium on this machine, beside the machine's limit and Sentence Transformers.

    Ends within half an hour, two thirds of it for the families' models (longer with --full). Other programs
    that run meanwhile falsify it.
    """
    start = perf_counter()
    texts, source = pairs(1000 if full else 200)
    report = Report(
        machine=_machine(),
        texts=source,
        pairs=len(texts),
        mean_tokens=0.0,
        limits_gflops={},
        gflop_per_pair={},
    )
    with tempfile.TemporaryDirectory() as scratch, Progress(console=Console(stderr=True)) as progress:
        steps: list[tuple[Shape | Family, Step]] = [
            (shape, step)
            for shape in SHAPES
            if not names or shape.name in names
            for step in _steps(shape, Path(scratch), texts, report, full=full)
        ]
        steps += [
            (family, step)
            for family in FAMILIES
            if not names or family.name in names
            for step in _family_steps(family, Path(scratch), report)
        ]
        task = progress.add_task("", total=len(steps))
        for shape, (description, run) in steps:
            progress.update(task, description=f"{shape.name}: {description}")
            run()
            progress.console.print(f"{shape.name}: {description}, after {perf_counter() - start:.0f} s")
            progress.advance(task)
    report.seconds = perf_counter() - start
    table.show(report, Console(width=None if sys.stdout.isatty() else 120))
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def _steps(
    shape: Shape, scratch: Path, texts: Sequence[Pair], report: Report, *, full: bool
) -> Iterator[Step]:
    """Yield what is measured of one model; each step adds to the report."""
    folder = folder_of(shape, scratch)
    dtypes = [devices.name(dtype) for dtype in devices.dtypes(devices.choose_device("auto"))]

    def usual() -> None:
        # in a new process, where no earlier step left memory or threads
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            way = pool.submit(reference.measure, shape.name, folder, texts[: shape.reference_pairs]).result()
        report.ways += [way] if way else []

    def add(measured: bare.Measured) -> None:
        report.ways.append(measured.way)
        report.mean_tokens = measured.mean_tokens
        report.gflop_per_pair[shape.name] = measured.gflop_per_pair
        report.limits_gflops[measured.way.way.removeprefix("bare ")] = measured.limit_gflops

    def unserved(dtype: str) -> None:
        with bare.apart(folder, shape.name, dtype, texts) as window:
            add(window(ALONE_S))

    def served(dtype: str) -> None:
        with (
            bare.apart(folder, shape.name, dtype, texts) as window,
            serving(folder, dtype, scratch / "serve.log") as server,
        ):
            load.throughput(server, shape.name, texts, 1, 1, 100)  # shapes that the warm-up did not have
            ways = []
            alone = [window(BESIDE_S)]
            for clients, (requests, documents) in shape.requests.items():
                way, tokens_per_s = load.throughput(server, shape.name, texts, clients, requests, documents)
                alone.append(window(BESIDE_S))
                beside = (alone[-2].tokens_per_s + alone[-1].tokens_per_s) / 2
                ways.append(structs.replace(way, of_bare=tokens_per_s / beside))
            add(alone[-1])
            report.ways += ways
            report.fairness.append(load.fairness(server, shape.name, texts, FAIR_S))

    yield "Sentence Transformers", usual
    for dtype in reversed(dtypes):
        if full or dtype == dtypes[0]:
            yield f"bare and HTTP {dtype}", lambda dtype=dtype: served(dtype)  # type: ignore[misc]
        else:
            yield f"bare {dtype}", lambda dtype=dtype: unserved(dtype)  # type: ignore[misc]


def _family_steps(family: Family, scratch: Path, report: Report) -> Iterator[Step]:
    """Yield what is measured of a family's model, which is written when the first step needs it.

    Without Sentence Transformers the model is measured alone; one in its modular layout, which it writes, is
    left out.
    """
    usual = reference.installed()

    @cache
    def folder() -> Path:
        return families.folder_of(family, scratch)

    def both(dtype: torch.dtype) -> None:
        chosen, texts = families.pairs_of(family)
        # the same, but of a decoder's, which are all of one length
        theirs = chosen[: family.pairs] if usual else []
        report.beside.append(
            beside.measure(family.name, folder(), devices.name(dtype), chosen, theirs, texts)
        )

    def point(prefix: int, document: int, dtype: torch.dtype) -> None:
        # enough documents for batches of which the prefix is a small part
        chosen, texts = families.pairs_of(family, prefix, document, max(8, 8 * prefix // document))
        report.beside.append(
            beside.measure(family.name, folder(), devices.name(dtype), chosen, [], texts, turns=1)
        )

    dtypes = devices.dtypes(devices.choose_device("auto"))
    if family.layout == "modular" and not usual:
        yield "left out, for Sentence Transformers is not installed", lambda: None
        return
    for dtype in reversed(dtypes):
        yield f"beside Sentence Transformers {devices.name(dtype)}", partial(both, dtype)
    if family.layout == "decoder":
        for prefix, document in families.CURVE:
            yield f"prefix {prefix}, documents {document}", partial(point, prefix, document, dtypes[0])


def _machine() -> str:
    """Return the processor's name and how many cores the model uses."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.machine()])[0]}, {devices.cores()} cores"
