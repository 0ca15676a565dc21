"""Points of networks between two axes, in percent of the plot, and the lines that may be drawn among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autovul.base.report import catalogue, formats
from autovul.base.report.figures import Axis, nice_axis
from autovul.base.report.sections import Network


@dataclass(frozen=True)
class Point:
    """A network: what it has on the horizontal axis and on the vertical one."""

    network: Network
    x: float
    y: float
    left: float
    top: float
    is_variant: bool = False


@dataclass(frozen=True)
class Segment:
    """A straight line from left to right: one through a group, or from a network to its variant."""

    group: str
    start: tuple[float, float]
    end: tuple[float, float]
    is_fit: bool


@dataclass(frozen=True)
class Scatter:
    """A figure.

    Args:
        title, unit: The vertical axis's unit; the title names both axes.
        points, segments: What is drawn.
        sentence: What stands below.
    """

    title: str
    unit: str
    points: tuple[Point, ...]
    segments: tuple[Segment, ...]
    x_axis: Axis
    y_axis: Axis
    sentence: str

    @property
    def groups(self) -> list[str]:
        """The groups of its points, for a legend."""
        return sorted({point.network.group for point in self.points}, key=catalogue.group_rank)

    @property
    def description(self) -> str:
        """The figure in words: its sentence, then every point."""
        points = (f"{p.network.label} {formats.number(p.x)}, {formats.number(p.y, self.unit)}" for p in self.points)
        return f"{self.title}. {self.sentence} Networks: {'; '.join(points)}."


def axes(points: Iterable[tuple[float, float]]) -> tuple[Axis, Axis]:
    """The two axes for points (x, y)."""
    xs, ys = zip(*points, strict=True)
    return nice_axis(min(xs), max(xs), count=4), nice_axis(min(ys), max(ys), count=4)


def place(x: float, y: float, between: Sequence[Axis]) -> tuple[float, float]:
    """Where (x, y) stands from the left and from the top."""
    return between[0].place(x), round(100 - between[1].place(y), 2)
