"""The figure of a control that holds a fact of the networks equal: every network, and the lines between the sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from autovul.base.report import formats, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controlled import Controlled, Covariate
from autovul.base.report.scatter import Point, Scatter, Segment, axes, place
from autovul.base.report.sections import Network
from autovul.base.statistics.adjustment import LEAST_FOR_A_LINE

_Place = tuple[float, float]


def line_figures(finding: Finding, controls: Sequence[Controlled]) -> list[Scatter]:
    """One for each control that holds something equal."""
    found = (line_figure(finding, each) for each in controls)
    return [figure for figure in found if figure is not None]


def line_figure(finding: Finding, controlled: Controlled) -> Scatter | None:
    """The claim's metric against what is held equal; None where nothing is, or for too few networks for a line."""
    covariate = controlled.covariate
    if covariate is None:
        return None
    own = {n.key for n in finding.reading.networks}
    on_sides = (*covariate.first, *covariate.second)
    if len({(network.group, network.name) for network, _ in on_sides}) < LEAST_FOR_A_LINE:
        return None
    read = ((n, x, n.mean(controlled.metric)) for n, x in (*on_sides, *covariate.yours))
    values = [(n, x, y) for n, x, y in read if y is not None]
    fits = [*_fits(controlled, covariate)]
    between = axes([*((x, y) for _, x, y in values), *(end for _, *ends in fits for end in ends)])
    points = tuple(Point(n, x, y, *place(x, y, between), is_variant=n.key not in own) for n, x, y in values)
    segments = [Segment(group, place(*start, between), place(*end, between), True) for group, start, end in fits]
    sizes: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda point: point.left):
        sizes[point.network.group, point.network.name].append(point)
    for (group, _), found in sizes.items():
        for start, end in zip(found, found[1:], strict=False):
            segments.append(Segment(group, (start.left, start.top), (end.left, end.top), False))
    return Scatter(
        title=f"{wording.title(controlled.metric, controlled.unit)} against {covariate.name}, {covariate.unit}",
        unit=controlled.unit,
        points=points,
        segments=tuple(segments),
        x_axis=between[0],
        y_axis=between[1],
        sentence=_sentence(controlled, covariate, points),
    )


def _fits(controlled: Controlled, covariate: Covariate) -> Iterator[tuple[str, _Place, _Place]]:
    """Each side's line as far as its networks reach."""
    if (line := controlled.line) is None:
        return
    for side, level in zip((covariate.first, covariate.second), line.levels, strict=True):
        ends = [(x, level + line.slope * x) for x in (min(x for _, x in side), max(x for _, x in side))]
        yield _group([network for network, _ in side]), ends[0], ends[1]


def _group(side: list[Network]) -> str:
    """The group whose colour a side has."""
    groups = {network.group for network in side}
    return groups.pop() if len(groups) == 1 else ""


def _sentence(controlled: Controlled, covariate: Covariate, points: tuple[Point, ...]) -> str:
    parts = ["No line can be drawn through both sides."]
    if controlled.line is not None:
        difference = formats.with_unit(controlled.line.estimate, controlled.unit, signed=True)
        parts = [f"The difference under this control, {difference}, is how far the two lines are apart."]
    if any(point.is_variant for point in points):
        parts.append("Hollow: networks in other sizes, joined with their own.")
    if covariate.yours:
        parts.append("Yours are on neither side, and no line is drawn through them.")
    return " ".join(parts)
