"""Every metric of every record as a line of comma-separated values, for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from autovul.base.result import Result

Row = dict[str, object]
COLUMNS = (
    *("experiment", "algorithm", "dataset", "data_sha256", "group", "model", "seed", "status"),
    *("metric", "value", "unit", "count", "parameters", "multiply_adds", "depth", "skips"),
    *("weights_sha256", "options", "code_version", "created", "message"),
)


def render(results: Sequence[Result]) -> str:
    """The table with its header; a record without metrics has one line with an empty metric."""
    return table(COLUMNS, _rows(results))


def table(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Rows as comma-separated values under a header; what a row lacks, or has as None, is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_cells, rows))
    return stream.getvalue()


def _rows(results: Sequence[Result]) -> Iterator[Row]:
    for result in results:
        shared = _shared(result)
        for name, metric in result.metrics.items():
            yield {**shared, "metric": name, "value": metric.value, "unit": metric.unit, "count": metric.count}
        if not result.metrics:
            yield shared


def _shared(result: Result) -> Row:
    return {
        **{name: getattr(result, name) for name in COLUMNS[:8]},
        **{name: result.facts.get(name) for name in ("parameters", "multiply_adds", "depth", "skips")},
        "weights_sha256": result.weights_sha256,
        "options": json.dumps(dict(result.options), sort_keys=True, default=str),
        "code_version": result.environment.get("code_version"),
        "created": result.environment.get("created"),
        "message": result.message,
    }


def _cells(row: Row) -> Row:
    """The row with nothing where nothing is known, and text defused that a spreadsheet would take for a formula."""
    cells = {name: "" if value is None else value for name, value in row.items()}
    risky = ("=", "+", "-", "@", "\t", "\r")
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(risky) else cell for name, cell in cells.items()
    }
