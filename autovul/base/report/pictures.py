"""Loss contours and ROC curves, from the small series that the records carry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from autovul.base.report.figures import MAX_POINTS, is_number
from autovul.base.report.sections import Network, Section

LEVELS = 8  # shades of a contour picture


@dataclass(frozen=True)
class Contour:
    """A network's loss on a grid, as one SVG path a shade in a 100 × 100 box.

    Args:
        network: Whose first counted run with a grid is drawn.
        shades: Path and opacity, the low losses first.
        description: The picture in words.
    """

    network: Network
    shades: tuple[tuple[str, float], ...]
    description: str


@dataclass(frozen=True)
class Contours:
    """The contours of a section, all with the same shades."""

    pictures: tuple[Contour, ...]
    low: float
    high: float
    span: float


@dataclass(frozen=True)
class RocCurve:
    """A network's ROC curve as an SVG path in a 100 × 100 box."""

    network: Network
    points: str


@dataclass(frozen=True)
class Roc:
    """The curves of one method, a line a network."""

    method: str
    curves: tuple[RocCurve, ...]
    description: str

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(curve.network.group for curve in self.curves))


def contours(section: Section) -> Contours | None:
    """Pictures of the loss around each network, or None where no record has a grid."""
    grids = [(network, grid) for network in section.networks if (grid := _first(network, _grid)) is not None]
    if not grids:
        return None
    losses = [math.log10(loss) for _, (_, rows) in grids for row in rows for loss in row]
    low, high = min(losses), max(losses)
    pictures = tuple(_picture(network, axis, rows, low, high) for network, (axis, rows) in grids)
    return Contours(pictures, 10**low, 10**high, max(axis[-1] for _, (axis, _) in grids))


Found = TypeVar("Found")
Series = Sequence[Mapping[str, Any]]


def _first(network: Network, find: Callable[[Series], Found | None]) -> Found | None:
    """What the first counted run gives that has it."""
    return next((found for run in network.good if (found := find(run.result.series)) is not None), None)


def _grid(series: Series) -> tuple[list[float], list[list[float]]] | None:
    """The places along an axis and the losses by row, if the series are a square of positive numbers."""
    axis: list[Any] = [row.get("alpha") for row in series]
    rows: list[Any] = [row.get("losses") for row in series]
    if len(axis) < 2 or not all(is_number(place) for place in axis):
        return None
    if not all(isinstance(row, list) and len(row) == len(axis) for row in rows):
        return None
    if not all(is_number(loss) and loss > 0 for row in rows for loss in row):
        return None
    return axis, rows


def _picture(network: Network, axis: list[float], rows: list[list[float]], low: float, high: float) -> Contour:
    size, spread = len(axis), high - low or 1.0
    paths: list[list[str]] = [[] for _ in range(LEVELS)]
    cell = 100 / size
    for y, row in enumerate(rows):
        levels = [min(LEVELS - 1, int(LEVELS * (math.log10(loss) - low) / spread)) for loss in row]
        start = 0
        for x in range(1, size + 1):
            if x == size or levels[x] != levels[start]:  # neighbours of one shade are one rectangle
                width, height = f"{(x - start) * cell:.4g}", f"{cell:.4g}"
                paths[levels[start]].append(f"M{start * cell:.4g} {y * cell:.4g}h{width}v{height}h-{width}z")
                start = x
    shades = tuple(("".join(path), round((level + 1) / LEVELS, 3)) for level, path in enumerate(paths) if path)
    least, most = min(map(min, rows)), max(map(max, rows))
    middle = rows[size // 2][size // 2]
    text = f"{network.label}: loss {middle:.3g} nats in the middle, {least:.3g} to {most:.3g} over the plane."
    return Contour(network, shades, text)


def rocs(section: Section) -> list[Roc]:
    """The ROC curves of each method that records have points of."""
    methods = dict.fromkeys(
        str(row["method"])
        for network in section.networks
        for run in network.good
        for row in run.result.series
        if "method" in row and isinstance(row.get("roc"), list)
    )
    return [roc for method in methods if (roc := _roc(section, method)) is not None]


def _roc(section: Section, method: str) -> Roc | None:
    curves = []
    for network in section.networks:
        points = _first(network, lambda series: _points(series, method))
        if points is not None:
            path = "L".join(f"{100 * x:.4g} {100 - 100 * y:.4g}" for x, y in points)
            curves.append(RocCurve(network, f"M{path}"))
    if not curves:
        return None
    names = ", ".join(curve.network.label for curve in curves)
    return Roc(method, tuple(curves), f"ROC curves by {method}, one line a network: {names}.")


def _points(series: Series, method: str) -> list[list[float]] | None:
    for row in series:
        points = row.get("roc")
        if row.get("method") == method and isinstance(points, list) and len(points) > 1:
            pairs = all(
                isinstance(p, list) and len(p) == 2 and all(is_number(v) and 0 <= v <= 1 for v in p) for p in points
            )
            if pairs:
                step = math.ceil(len(points) / MAX_POINTS)
                return [*points[:-1:step], points[-1]]
    return None
