"""The report as a table for the terminal."""

from rich.console import Console, Group
from rich.table import Table

from podium.bench.results import Beside, Report, Way


def show(report: Report, console: Console) -> None:
    """Print a report."""
    console.print(report.machine)
    if report.ways:
        _show_served(report, console)
    if report.beside:
        _show_beside(report, console)
    for why in report.left_out:
        console.print(why)
    console.print(f"measured in {report.seconds:.0f} s")


def line(row: Way | Beside) -> str:
    """Return one row in words, for those who watch."""
    if isinstance(row, Way):
        of = f", {row.share:.0%} of the limit" if row.share is not None else ""
        of += f", {row.of_bare:.0%} of the bare model" if row.of_bare is not None else ""
        return f"{row.model}, {row.way}: {row.pairs_per_s:.1f} pairs/s of {row.pairs}{of}"
    theirs = row.reference_pairs_per_s
    of = "" if theirs is None else f", {row.pairs_per_s / theirs:.2f} times Sentence Transformers"
    of += f", {row.share:.0%} of the limit" if row.share is not None else ""
    return f"{row.model}, {row.dtype}, {row.texts}: {row.pairs_per_s:.2f} pairs/s of {row.pairs}{of}"


def _show_served(report: Report, console: Console) -> None:
    limits = ", ".join(f"{value:.0f} GFLOP/s {dtype}" for dtype, value in report.limits_gflops.items())
    costs = ", ".join(f"{name} {value:.2f}" for name, value in report.gflop_per_pair.items())
    console.print(
        Group(
            f"limit {limits}",
            f"{report.pairs} pairs of {report.mean_tokens:.1f} tokens ({report.texts}); GFLOP each: {costs}",
            "of limit: all operations of a model count, also those of the last layer that no head reads and "
            "Podium leaves out",
        )
    )
    table = Table("model", "way", box=None, pad_edge=False)
    for heading in (
        "pairs",
        "pairs/s",
        "of limit",
        "of bare",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "added ms",
        "MiB",
    ):
        table.add_column(heading, justify="right")
    for way in report.ways:
        table.add_row(
            way.model,
            way.way,
            str(way.pairs),
            f"{way.pairs_per_s:.1f}",
            _percent(way.share),
            _percent(way.of_bare),
            *(_number(x) for x in (way.p50_ms, way.p95_ms, way.p99_ms, way.added_ms, way.memory_mib)),
        )
    console.print(table)
    for fair in report.fairness:
        console.print(
            f"{fair.model}: {fair.requests} times 10 documents beside two clients of 1,000 each: "
            f"p50 {fair.crowded_p50_ms:.0f} ms, p99 {fair.crowded_p99_ms:.0f} ms; "
            f"alone p99 {fair.alone_p99_ms:.0f} ms"
        )


def _show_beside(report: Report, console: Console) -> None:
    console.print("the model alone, beside Sentence Transformers; of limit: operations really computed")
    table = Table("model", "dtype", "texts", box=None, pad_edge=False)
    for heading in ("pairs", "ST pairs/s", "pairs/s", "times", "of limit", "GFLOP/s", "read", "computed"):
        table.add_column(heading, justify="right")
    for one in report.beside:
        theirs = one.reference_pairs_per_s
        table.add_row(
            one.model,
            one.dtype,
            one.texts.split(",")[0] if one.computed_tokens == one.read_tokens else one.texts,
            str(one.pairs),
            "" if theirs is None else f"{theirs:.2f}",
            f"{one.pairs_per_s:.2f}",
            "" if theirs is None else f"{one.pairs_per_s / theirs:.1f}",
            _percent(one.share),
            f"{one.limit_gflops:.0f}",
            f"{one.read_tokens:.0f}",
            f"{one.computed_tokens:.0f}",
        )
    console.print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
