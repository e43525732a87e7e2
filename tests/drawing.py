"""A dashboard as a picture: its panels as SVG, from what a Prometheus answers. No Grafana is asked."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from prometheus import DASHBOARDS, Prometheus, as_sent
from rich.filesize import decimal

COLUMN, ROW = 50, 26
"""Pixels of a cell of Grafana's grid; 24 columns side by side."""
MARGIN, AXIS, LINE = 12, 76, 17
POINTS = 90
"""Of a series, from end to end."""
COLORS = ("#3274d9", "#d9480f", "#37872d", "#8f3bb8", "#b5870b", "#0b7285", "#c4162a", "#5c5c5c")


class Series(NamedTuple):
    """One line of a panel: its legend, and seconds since the beginning with the values then."""

    legend: str
    points: list[tuple[float, float]]


def dashboard_svg(name: str, prometheus: Prometheus, start: float, end: float) -> str:
    """Return the picture of a dashboard from `start` to `end`, in Unix seconds."""
    panels = json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]
    width, height = 24 * COLUMN, ROW * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    drawn = "\n".join(line for panel in panels for line in _panel(panel, prometheus, start, end))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12" fill="#333">\n'
        f'<rect width="100%" height="100%" fill="#f4f5f5"/>\n{drawn}\n</svg>\n'
    )


def _panel(panel: Any, prometheus: Prometheus, start: float, end: float) -> Iterator[str]:
    grid = panel["gridPos"]
    width, height = grid["w"] * COLUMN, grid["h"] * ROW
    yield f'<g transform="translate({grid["x"] * COLUMN},{grid["y"] * ROW})">'
    yield f'<rect x="4" y="4" width="{width - 8}" height="{height - 8}" rx="3" fill="#fff" stroke="#ddd"/>'
    yield _text(MARGIN, 22, panel["title"], 'font-weight="bold"')
    if panel["type"] == "table":
        (target,) = panel["targets"]
        yield from _table(prometheus.query(as_sent(target["expr"])), width, height)
    else:
        series = [each for one in panel["targets"] for each in _series(one, prometheus, start, end)]
        yield from _graph(series, panel["fieldConfig"]["defaults"]["unit"], end - start, width, height)
    yield "</g>"


def _series(target: Any, prometheus: Prometheus, start: float, end: float) -> Iterator[Series]:
    step = (end - start) / POINTS
    expression = as_sent(target["expr"], rate_interval="20s")
    asked = {"query": expression, "start": f"{start}", "end": f"{end}", "step": f"{step}"}
    for found in prometheus.get("query_range", **asked)["result"]:
        legend = target["legendFormat"]
        for label in re.findall(r"{{(\w+)}}", legend):
            legend = legend.replace(f"{{{{{label}}}}}", found["metric"].get(label, ""))
        points = [(at - start, float(value)) for at, value in found["values"] if math.isfinite(float(value))]
        if points:
            yield Series(legend, points)


def _graph(series: Sequence[Series], unit: str, seconds: float, width: int, height: int) -> Iterator[str]:
    top = max([value for each in series for _, value in each.points], default=0.0) or 1.0
    left, right, above, below = AXIS, width - 2 * MARGIN, 36, height - 52
    for share in (0.0, 0.5, 1.0):
        y = below - share * (below - above)
        yield f'<path d="M{left} {y:.0f}H{right}" stroke="#e5e5e5"/>'
        yield _text(left - 6, y + 4, in_unit(share * top, unit), 'text-anchor="end" fill="#777"')
        x = left + share * (right - left)
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        yield _text(x, below + 15, f"{share * seconds:.0f} s", f'text-anchor="{anchor}" fill="#777"')
    x = float(left)
    for number, each in enumerate(series):
        color = COLORS[number % len(COLORS)]
        path = " ".join(
            f"{left + at / seconds * (right - left):.0f},{below - max(value, 0) / top * (below - above):.1f}"
            for at, value in each.points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
        if x + 16 + 6.6 * len(each.legend) > right:
            continue  # no room for its name
        yield f'<rect x="{x:.0f}" y="{height - 24}" width="12" height="4" fill="{color}"/>'
        yield _text(x + 16, height - 17, each.legend)
        x += 30 + 6.6 * len(each.legend)


def _table(rows: Sequence[Any], width: int, height: int) -> Iterator[str]:
    found = [{key: text for key, text in row["metric"].items() if key != "pod"} for row in rows]
    columns = list(dict.fromkeys(key for row in found for key in row))
    wide = [max(len(column), *(len(row.get(column, "")) for row in found)) + 2 for column in columns]
    scale = min(8.0, (width - 2 * MARGIN) / sum(wide)) if wide else 0.0
    shown = [dict(zip(columns, columns, strict=True)), *found][: (height - 36) // LINE]
    for number, row in enumerate(shown):
        x = float(MARGIN)
        for column, room in zip(columns, wide, strict=True):
            style = 'fill="#777"' if number == 0 else ""
            yield _text(x, 44 + number * LINE, row.get(column, ""), style)
            x += room * scale


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'


def in_unit(value: float, unit: str) -> str:
    """Return a value as Grafana would write it in one of its units."""
    if unit == "bytes":
        return str(decimal(round(value)))
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or not value else f"{value * 1000:.3g} ms"
    number = f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{number}/s" if unit in ("reqps", "ops") else number
