"""`podium bench`."""

import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import click
import msgspec
from msgspec import structs
from rich.console import Console
from rich.progress import Progress

from podium.bench import bare, beside, families, load, reference, table
from podium.bench.families import FAMILIES, Family
from podium.bench.results import Beside, Report, Way
from podium.bench.server import serving
from podium.bench.shapes import CLIENTS, SHAPES, Shape, folder_of
from podium.bench.texts import Pair, pairs
from podium.models import devices, processor
from podium.settings import DEFAULT_CACHE
from podium.weights.fetch import expanded

LEAST_S = 0.5
"""Seconds for one part of the budget at least, where loading has taken what it had."""

TURNS = 8
"""Of int8 and of the dtype that it is compared with."""


class Step(NamedTuple):
    """What is measured at a time."""

    model: str
    description: str
    parts: float
    """Its parts of the budget; those of all steps share it. 0 for what is no measuring and comes on top."""
    run: Callable[[float], None]
    """Measure for about so many seconds, and add to the report."""


class Seconds(click.ParamType[float]):
    """`90s`, `8m` or `1h` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fail with what is accepted."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        if found is None or not float(found[1]):
            self.fail(f"`{value}` is no duration; write 90s, 8m or 1h", param, ctx)
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


@click.command
@click.option(
    "--budget",
    type=Seconds(),
    default="15m",
    show_default=True,
    help="Time for all of it: a slower machine measures fewer pairs in the same time.",
)
@click.option("--full", is_flag=True, help="1,000 pairs in place of 200, and every dtype over HTTP.")
@click.option(
    "--json",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write JSON here too, anew after each step.",
)
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice([one.name for one in (*SHAPES, *FAMILIES)]),
    help="Only this one; may be given several times.",
)
def bench(budget: float, full: bool, output: Path | None, names: tuple[str, ...]) -> None:
    """Measure Podium on this machine, beside the machine's limit, Sentence Transformers and ONNX Runtime.

    Rows are printed as they come. Models are exported to ONNX once and kept in the cache for the next run.
    Other programs that run meanwhile falsify all of it.
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
        steps = [
            step
            for shape in SHAPES
            if not names or shape.name in names
            for step in _steps(shape, Path(scratch), texts, report, full=full)
        ]
        steps += [
            step
            for family in FAMILIES
            if not names or family.name in names
            for step in _family_steps(family, Path(scratch), report)
        ]
        task = progress.add_task("", total=len(steps))
        end, left = start + budget, sum(step.parts for step in steps)
        for step in steps:
            progress.update(task, description=f"{step.model}: {step.description}")
            begun, ways, besides = perf_counter(), len(report.ways), len(report.beside)
            step.run(step.parts * max(LEAST_S, (end - begun) / left) if step.parts else 0)
            left -= step.parts
            if not step.parts:
                end += perf_counter() - begun
            report.seconds = perf_counter() - start
            progress.console.print(f"{step.model}: {step.description}, after {report.seconds:.0f} s")
            rows: list[Way | Beside] = [*report.ways[ways:], *report.beside[besides:]]
            for row in rows:
                progress.console.print(f"  {table.line(row)}", highlight=False)
            if output is not None:
                output.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
            progress.advance(task)
    table.show(report, Console(width=None if sys.stdout.isatty() else 120))


def _steps(
    shape: Shape, scratch: Path, texts: Sequence[Pair], report: Report, *, full: bool
) -> Iterator[Step]:
    """Yield what is measured of one model; each step adds to the report."""
    folder = folder_of(shape, scratch)
    device = devices.choose_device("auto")
    dtypes = [devices.name(dtype) for dtype in devices.dtypes(device)]
    exported: list[Path] = []

    def usual(seconds: float) -> None:
        report.ways.append(_apart(reference.sentence_transformers, shape.name, folder, texts, seconds))

    def export(_: float) -> None:
        exported.extend(_apart(reference.export, folder, expanded(DEFAULT_CACHE)))

    def onnx(number: int, seconds: float) -> None:
        report.ways.append(
            _apart(reference.onnx_runtime, shape.name, exported[number], folder, texts, seconds)
        )

    def add(measured: bare.Measured) -> None:
        report.ways.append(measured.way)
        report.mean_tokens = measured.mean_tokens
        report.gflop_per_pair[shape.name] = measured.gflop_per_pair
        report.limits_gflops[measured.way.way.removeprefix("bare ")] = measured.limit_gflops

    def unserved(dtype: str, seconds: float) -> None:
        with bare.apart(folder, shape.name, dtype, texts) as window:
            add(window(seconds))

    def integers(seconds: float) -> None:
        part = seconds / (2 * TURNS + 1)
        with (
            bare.apart(folder, shape.name, "int8", texts) as window,
            bare.apart(folder, shape.name, dtypes[0], texts) as other,
        ):
            window(0)  # its first batch sets up what later ones have
            other(0)
            beside, times = other(part), []
            for _ in range(TURNS):
                before, own, beside = beside, window(part), other(part)
                times.append(2 * own.tokens_per_s / (before.tokens_per_s + beside.tokens_per_s))
            add(own._replace(way=structs.replace(own.way, of_bare=median(times))))

    def served(dtype: str, seconds: float) -> None:
        part = seconds / (1.5 * len(CLIENTS) + 2)
        with (
            bare.apart(folder, shape.name, dtype, texts) as window,
            serving(folder, dtype, scratch / "serve.log") as server,
        ):
            # shapes that the warm-up did not have
            load.throughput(server, shape.name, texts, 1, 10, part / 4)
            ways: list[Way] = []
            # the host sways: each figure is compared with the model right before and right after
            alone = [window(part / 2)]
            for clients, documents in CLIENTS:
                way, tokens_per_s = load.throughput(server, shape.name, texts, clients, documents, part)
                alone.append(window(part / 2))
                around = (alone[-2].tokens_per_s + alone[-1].tokens_per_s) / 2
                ways.append(structs.replace(way, of_bare=tokens_per_s / around))
            add(alone[-1])
            report.ways += ways
            report.fairness.append(load.fairness(server, shape.name, texts, part))

    if reference.installed():
        yield Step(shape.name, "Sentence Transformers", 1, usual)
    else:
        report.left_out.append(f"{shape.name}: Sentence Transformers is not installed")
    if reference.installed("onnxruntime") and reference.installed("onnxscript"):
        yield Step(shape.name, "export to ONNX", 0, export)
        yield Step(shape.name, "ONNX Runtime float32", 1, partial(onnx, 0))
        yield Step(shape.name, "ONNX Runtime int8", 1, partial(onnx, 1))
    else:
        report.left_out.append(
            f"{shape.name}: ONNX Runtime is not installed (pip install 'podium-rerank[bench]')"
        )
    if devices.computes_int8(device):
        yield Step(shape.name, f"bare int8, in turns with {dtypes[0]}", 3, integers)
    else:
        report.left_out.append(f"{shape.name}: int8 is not for {device}")
    for dtype in reversed(dtypes):
        if full or dtype == dtypes[0]:
            parts = 1.5 * len(CLIENTS) + 2
            yield Step(shape.name, f"bare and HTTP {dtype}", parts, partial(served, dtype))
        else:
            yield Step(shape.name, f"bare {dtype}", 1, partial(unserved, dtype))


def _family_steps(family: Family, scratch: Path, report: Report) -> Iterator[Step]:
    """Yield what is measured of a family's model, which is written when the first step needs it.

    Without Sentence Transformers the model is measured alone; one in its modular layout, which it writes, is
    left out.
    """
    usual = reference.installed()
    decoder = family.layout == "decoder"

    @cache
    def folder() -> Path:
        return families.folder_of(family, scratch)

    def write(_: float) -> None:
        folder()

    def both(dtype: str, seconds: float) -> None:
        chosen, texts = families.pairs_of(family)
        report.beside.append(
            beside.measure(
                family.name, folder(), dtype, chosen, texts, seconds, reference=usual, alike=decoder
            )
        )

    def curve(dtype: str, seconds: float) -> None:
        points = [
            # enough documents for batches of which the prefix is a small part
            families.pairs_of(family, prefix, document, max(12, 12 * prefix // document))
            for prefix, document in families.CURVE
        ]
        report.beside.extend(beside.curve(family.name, folder(), dtype, points, seconds / len(points)))

    if family.layout == "modular" and not usual:
        report.left_out.append(f"{family.name}: Sentence Transformers, which writes it, is not installed")
        return
    dtypes = [devices.name(dtype) for dtype in devices.dtypes(devices.choose_device("auto"))]
    yield Step(family.name, "random weights", 0, write)
    for dtype in reversed(dtypes):
        yield Step(family.name, f"beside Sentence Transformers {dtype}", 3, partial(both, dtype))
    if decoder:
        yield Step(family.name, "curve over prefix and document", 6, partial(curve, dtypes[0]))


def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` returns in a new process, where no earlier step left memory or threads."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _machine() -> str:
    """Return the processor's name, its widest instructions and how many cores the model uses."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    able = processor.instruction_set()
    return f"{(names or [platform.machine()])[0]}, {able}, {devices.cores()} cores"
