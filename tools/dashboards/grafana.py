"""A dashboard in the JSON that Grafana 10 and newer import. Pure."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SOURCES: Final = {"prometheus": "Prometheus", "influxdb": "InfluxDB"}

Source = Literal["prometheus", "influxdb"]


class Query(NamedTuple):
    """PromQL, or Flux for a panel of InfluxDB; `legend` names its series."""

    text: str
    legend: str = ""


class Panel(NamedTuple):
    """One picture. `unit` as Grafana calls it; `says` is what to read in it; `width` of 24."""

    title: str
    queries: tuple[Query, ...]
    says: str
    unit: str = "short"
    kind: Literal["timeseries", "stat", "xychart"] = "timeseries"
    width: int = 8
    source: Source = "prometheus"


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """A dashboard."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        """All of them."""
        return (panel for row in self.rows for panel in row.panels)


def written(board: Board) -> bytes:
    """Return the file of a dashboard; the same board gives the same bytes."""
    sources = sorted({panel.source for panel in board.panels})
    value = {
        "uid": board.uid,
        "title": board.title,
        "description": board.says,
        "tags": ["decibus"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source_variable(source) for source in sources]},
        "panels": list(_placed(board)),
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _source_variable(source: str) -> dict[str, Any]:
    return {"name": source, "label": _SOURCES[source], "type": "datasource", "query": source}


def _placed(board: Board) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield _heading(row, number, y)
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
            yield {"id": number, "gridPos": place, **_drawn(panel)}
            x += panel.width
        y += _HEIGHT


def _heading(row: Row, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": row.title, "gridPos": place, "panels": []}


def _drawn(panel: Panel) -> dict[str, Any]:
    source = {"type": panel.source, "uid": f"${{{panel.source}}}"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, **_asked(panel.source, query)}
            for place, query in enumerate(panel.queries)
        ],
    }


def _asked(source: Source, query: Query) -> dict[str, Any]:
    if source == "influxdb":
        return {"query": query.text}
    return {"expr": query.text, "legendFormat": query.legend or "__auto"}
