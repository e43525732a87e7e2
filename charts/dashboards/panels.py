"""From a table of panels to the JSON that Grafana reads. Knows no metric's name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT = 24, 8
"""Of a row and of a panel, in Grafana's grid."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    """What is asked of Prometheus, and the name of each of its series."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel. `unit` is Grafana's word for it; a table shows the labels of each series, and its value."""

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    table: bool = False
    columns: int = 12


class Dashboard(NamedTuple):
    """A dashboard. `variables` are labels to choose by, each with the metric whose values are offered."""

    name: str
    title: str
    description: str
    variables: dict[str, str]
    panels: Sequence[Panel]


def to_grafana(dashboard: Dashboard) -> dict[str, Any]:
    """Return the dashboard as Grafana 10 and later read it."""
    panels, x, y = [], 0, 0
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.columns > WIDTH:
            x, y = 0, y + HEIGHT
        panels.append(_panel(number, panel, x, y))
        x += panel.columns
    return {
        "uid": f"podium-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["podium"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables.items())]},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "table" if panel.table else "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.columns, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "exemplar": "_bucket" in query.expression,
                **({"format": "table", "instant": True} if panel.table else {}),
            }
            for index, query in enumerate(panel.queries)
        ],
        **({"transformations": _HIDDEN} if panel.table else {"options": _OPTIONS}),
    }


_OPTIONS = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
_HIDDEN = [
    {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(("Time", "__name__", "job", "instance", "pod", "endpoint"), True)
        },
    }
]


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(item: tuple[str, str]) -> dict[str, Any]:
    label, metric = item
    return {
        "name": label,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({metric}, {label})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
