"""Every metric of every record as a line of comma-separated values, for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from autovul.base.result import Result

COLUMNS = (
    *("experiment", "algorithm", "dataset", "data_sha256", "group", "model", "seed", "status"),
    *("metric", "value", "unit", "count", "parameters", "multiply_adds", "depth", "skips"),
    *("weights_sha256", "options", "code_version", "created", "message"),
)


def render(results: Sequence[Result]) -> str:
    """The table with its header; a record without metrics has one line with an empty metric."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        shared = _shared(result)
        for name, metric in result.metrics.items():
            figures = {"metric": name, "value": metric.value, "unit": metric.unit, "count": metric.count}
            writer.writerow(cells({**shared, **figures}))
        if not result.metrics:
            writer.writerow(cells(shared))
    return stream.getvalue()


def _shared(result: Result) -> dict[str, object]:
    return {
        **{name: getattr(result, name) for name in COLUMNS[:8]},
        **{name: result.facts.get(name) for name in ("parameters", "multiply_adds", "depth", "skips")},
        "weights_sha256": result.weights_sha256,
        "options": json.dumps(dict(result.options), sort_keys=True, default=str),
        "code_version": result.environment.get("code_version"),
        "created": result.environment.get("created"),
        "message": result.message,
    }


def cells(row: dict[str, object]) -> dict[str, object]:
    """The row with nothing where nothing is known, and text defused that a spreadsheet would take for a formula."""
    cells = {name: "" if value is None else value for name, value in row.items()}
    risky = ("=", "+", "-", "@", "\t", "\r")
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(risky) else cell for name, cell in cells.items()
    }
