"""The geometry of the figures: where things stand, in percent of the plot; the page's templates draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from autovul.base.report import catalogue, formats, wording
from autovul.base.report.sections import OWN, Network, Section, mean_over
from autovul.base.statistics import Interval

MAX_POINTS = 120  # a curve is thinned to about this many points
MAX_CURVES = 12  # and a small chart shows at most this many seeds
MAX_LABEL = 24  # the longest name in a figure's margin, in characters
ROW, HEAD, GAP = 25, 28, 8  # a dot plot's heights in pixels: a network, a group's heading, between groups
MARKED_ROW = 33  # a network, where the size of some stands below their names


@dataclass(frozen=True)
class Axis:
    """A linear axis."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value stands, from 0 to 100; what lies beyond the axis stands at its end."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)

    def bar(self, interval: Interval, *, over_images: bool) -> Bar:
        """An interval along the axis."""
        ends = self.place(interval.low), self.place(interval.high)
        return Bar(*ends, interval.low >= self.low, interval.high <= self.high, over_images)

    def label(self, tick: float) -> str:
        """The tick's text, with as many decimals as any tick needs."""
        decimals = next((n for n in range(9) if all(abs(round(t, n) - t) < 1e-9 for t in self.ticks)), 9)
        return f"{tick:,.{decimals}f}".replace("-", formats.MINUS)


@dataclass(frozen=True)
class Bar:
    """An interval in a plot; an end that lies beyond the plot has no cap."""

    low: float
    high: float
    capped_low: bool
    capped_high: bool
    over_images: bool


@dataclass(frozen=True)
class Dot:
    """A line of the dot plot."""

    network: Network
    top: int
    place: float
    text: str
    seeds: tuple[float, ...]
    bar: Bar | None

    @property
    def name(self) -> str:
        """The network's name, its middle cut out where it is too long for the margin."""
        name = self.network.name
        return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 9]}…{name[-8:]}"


@dataclass(frozen=True)
class Block:
    """A group's lines of the dot plot, or of one side of a claim that halves it; the user's own have no mean."""

    title: str
    group: str
    top: int
    bottom: int
    mean: float | None
    mean_text: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class DotPlot:
    """The values of a section's main metric by network."""

    axis: Axis
    blocks: tuple[Block, ...]
    height: int
    title: str
    description: str
    band: tuple[float, float] | None = None

    @property
    def label_length(self) -> int:
        """The longest label in the margin, in characters."""
        return max(
            len(text)
            for block in self.blocks
            for dot in block.dots
            for text in (dot.name, ", ".join(dot.network.marks))
        )

    @property
    def bars(self) -> list[Bar]:
        return [dot.bar for block in self.blocks for dot in block.dots if dot.bar is not None]

    @property
    def over_images(self) -> bool:
        return any(bar.over_images for bar in self.bars)

    @property
    def over_seeds(self) -> bool:
        return not all(bar.over_images for bar in self.bars)

    @property
    def has_uncapped(self) -> bool:
        return not all(bar.capped_low and bar.capped_high for bar in self.bars)


@dataclass(frozen=True)
class Curve:
    """One seed's course: points as an SVG path in a 100 × 100 box, and its last point."""

    kind: str
    points: str
    end: tuple[float, float]


@dataclass(frozen=True)
class CurvePlot:
    """A network's learning curves."""

    network: Network
    curves: tuple[Curve, ...]
    description: str


@dataclass(frozen=True)
class Curves:
    """A section's learning curves: a small chart a network, all on the same axes."""

    x_axis: Axis
    y_axis: Axis
    plots: tuple[CurvePlot, ...]
    kinds: tuple[str, ...]
    unmeasured: int


def nice_axis(low: float, high: float, limits: tuple[float, float] | None = None, count: int = 5) -> Axis:
    """An axis from ``low`` to ``high`` with some air and round ticks, kept within ``limits``."""
    margin = (high - low) * 0.06 or max(abs(low) * 0.02, 0.5)
    low, high = low - margin, high + margin
    if limits and limits[0] <= low + margin and high - margin <= limits[1]:  # a record may hold what cannot be
        low, high = max(low, limits[0]), min(high, limits[1])
    step = _round_step((high - low) / count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, tuple(round(index * step, 12) for index in range(first, last + 1)))


def _round_step(rough: float) -> float:
    power = 10 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def dot_plot(
    networks: Iterable[Network],
    metric: str,
    unit: str,
    band: tuple[float, float] | None = None,
    apart: Mapping[str, Sequence[Network]] = MappingProxyType({}),
) -> DotPlot | None:
    """A metric's values by network and group, or None where no network measured it.

    Args:
        networks: Those that did not measure the metric are left out.
        metric, unit: What is drawn.
        band: Shaded, where values are expected.
        apart: Networks that stand apart from their group, by what they are called.
    """
    members: dict[tuple[str, str], list[Network]] = {}
    for network in networks:
        if network.values(metric):
            names = (name for name, found in apart.items() if network in found)
            title = next(names, catalogue.group_title(network.group))
            members.setdefault((network.group, title), []).append(network)
    measured = [network for found in members.values() for network in found]
    if not measured:
        return None
    values = [*(value for network in measured for value in network.values(metric)), *(band or ())]
    axis = value_axis(values, [_interval(network, metric) for network in measured], _limits(metric))
    row = MARKED_ROW if any(network.marks for network in measured) else ROW
    blocks, top = [], 0
    for group, title in sorted(members, key=lambda key: catalogue.group_rank(key[0])):
        networks = members[group, title]
        mean = None if group == OWN else mean_over(networks, metric)
        ordered = sorted(networks, key=lambda network: -(network.mean(metric) or 0.0))
        first = top + HEAD + row // 2
        dots = tuple(_dot(network, metric, unit, axis, first + row * i) for i, network in enumerate(ordered))
        bottom = top + HEAD + row * len(dots)
        place, text = (None, "") if mean is None else (axis.place(mean), f"mean {formats.with_unit(mean, unit)}")
        blocks.append(Block(title, group, top, bottom, place, text, dots))
        top = bottom + GAP
    name = wording.title(metric, unit)
    described = [
        f"{', '.join(filter(None, (block.title, block.mean_text)))}: "
        + ", ".join(f"{dot.network.label} {dot.text}" for dot in block.dots)
        for block in blocks
    ]
    shade = (axis.place(band[0]), axis.place(band[1])) if band else None
    return DotPlot(axis, tuple(blocks), top - GAP, f"{name}, by network", ". ".join(described) + ".", shade)


def _interval(network: Network, metric: str) -> Interval | None:
    return network.seed_interval(metric) or network.image_interval(metric)


def _limits(metric: str) -> tuple[float, float] | None:
    return (0, 100) if catalogue.metric_info(metric).rate else None


def value_axis(
    values: Sequence[float], intervals: Iterable[Interval | None], limits: tuple[float, float] | None = None
) -> Axis:
    """An axis for values and intervals, of which a huge one (two seeds) must not press the rest together."""
    ends = [end for interval in intervals if interval for end in (interval.low, interval.high)]
    if limits and limits[0] <= min(values) and max(values) <= limits[1]:  # Student's intervals know no limits
        ends = [min(max(end, limits[0]), limits[1]) for end in ends]
    air = 0.5 * (max(values) - min(values)) or math.inf
    low = max(min([*values, *ends]), min(values) - air)
    high = min(max([*values, *ends]), max(values) + air)
    return nice_axis(low, high, limits)


def _dot(network: Network, metric: str, unit: str, axis: Axis, top: int) -> Dot:
    values, interval = network.values(metric), _interval(network, metric)
    bar = None if interval is None else axis.bar(interval, over_images=len(values) == 1)
    seeds = tuple(axis.place(value) for value in values) if len(values) > 1 else ()
    text = formats.with_unit(network.mean(metric), unit)
    if interval is not None:
        over = "images" if bar and bar.over_images else f"{len(values)} seeds"
        text += f" (95 % interval over {over} {formats.interval_text(interval, unit)})"
    return Dot(network, top, axis.place(network.mean(metric) or 0.0), text, seeds, bar)


def learning_curves(section: Section) -> Curves | None:
    """Small charts of accuracy by epoch, or None where no record has such a series."""
    courses = [(network, _courses(network)) for network in section.networks]
    points = [point for _, found in courses for _, course in found for point in course]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    spread = max(xs) - min(xs) or 1
    # The axis of epochs has no air: curves start at its first and end at its last epoch.
    x_axis = Axis(min(xs), min(xs) + spread, (min(xs), min(xs) + spread))
    y_axis = nice_axis(min(ys), max(ys), (0, 100), count=3)
    plots = tuple(_curve_plot(network, found, x_axis, y_axis) for network, found in courses if found)
    kinds = tuple(name for name in catalogue.CURVES if any(kind == name for _, found in courses for kind, _ in found))
    return Curves(x_axis, y_axis, plots, kinds, len(courses) - len(plots))


def _courses(network: Network) -> list[tuple[str, list[tuple[float, float]]]]:
    found = []
    for run in network.good[:MAX_CURVES]:
        for kind in catalogue.CURVES:
            rows = [(row.get("epoch"), row.get(kind)) for row in run.result.series]
            course = [(x, y) for x, y in rows if is_number(x) and is_number(y)]
            if course:
                found.append((kind, _thinned(course)))
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Whether a recorded value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _thinned(course: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = math.ceil(len(course) / MAX_POINTS)
    return course if step < 2 else [*course[:-1:step], course[-1]]


def _curve_plot(
    network: Network, courses: list[tuple[str, list[tuple[float, float]]]], x_axis: Axis, y_axis: Axis
) -> CurvePlot:
    curves = []
    for kind, course in courses:
        places = [(x_axis.place(x), round(100 - y_axis.place(y), 2)) for x, y in course]
        curves.append(Curve(kind, "M" + "L".join(f"{x:g} {y:g}" for x, y in places), places[-1]))
    curves.sort(key=lambda curve: -list(catalogue.CURVES).index(curve.kind))
    parts = [
        f"{catalogue.CURVES[kind]} accuracy from {course[0][1]:.1f} % to {course[-1][1]:.1f} %"
        for kind, course in courses
    ]
    return CurvePlot(network, tuple(curves), f"{network.label}: {formats.listed(parts)}.")
