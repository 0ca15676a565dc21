"""The figure of a claim: its difference, the intervals and the controls against the expected band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autovul.base.report import claim_words, formats, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controlled import Controlled
from autovul.base.report.figures import Axis, Bar, DotPlot, dot_plot, value_axis
from autovul.base.report.side_names import side_names
from autovul.base.statistics import Interval

ROW, MAX_LABEL = 40, 46
SIDES = {"lower": "left", "higher": "right"}


@dataclass(frozen=True)
class Row:
    """One difference with its interval."""

    label: str
    kind: str
    top: int
    place: float
    bar: Bar | None
    text: str


@dataclass(frozen=True)
class Forest:
    """A claim's differences below each other; places are in percent of the width, which `label` names.

    `claimed` says where it should lie, if the claim is of a direction only.
    """

    axis: Axis
    rows: tuple[Row, ...]
    zero: float
    band: tuple[float, float] | None
    height: int
    label: str
    title: str
    description: str
    claimed: str = ""


def forest(finding: Finding, controls: Sequence[Controlled]) -> Forest | None:
    """The figure, or None where there is no difference to draw."""
    difference, claim, unit = finding.reading.difference, finding.claim, finding.reading.unit
    if difference is None:
        return None
    entries: list[tuple[str, str, float, Interval | None]] = [
        ("These networks", "these", difference.estimate, difference.these_networks)
    ]
    if difference.architectures is not None:
        entries.append(("Architectures in general", "general", difference.estimate, difference.architectures))
    for each in controls:
        if each.difference is not None and each.unit == unit and each.goal == claim.goal:
            entries.append((_shortened(each.name), "control", each.difference.estimate, each.interval))
    band = None
    if claim.expected is not None:
        tolerance = claim.tolerance or 0.0
        band = claim.expected - tolerance, claim.expected + tolerance
    axis = value_axis([0.0, *(entry[2] for entry in entries), *(band or ())], [entry[3] for entry in entries])
    rows = tuple(_row(*entry, unit, axis, ROW * index) for index, entry in enumerate(entries))
    expected = f" Expected: {claim_words.expectation(finding)}." if band else ""
    aimed = f" Claimed: {SIDES[claim.direction]} of 0." if claim.direction else ""
    label = f"difference in {_within(wording.title(finding.reading.metric, _points(unit)))}"
    return Forest(
        axis=axis,
        rows=rows,
        zero=axis.place(0.0),
        band=(axis.place(band[0]), axis.place(band[1])) if band else None,
        height=ROW * len(rows),
        label=formats.capital(label),
        title=f"{claim_words.sides(finding)}: {label}",
        description=f"{'. '.join(f'{row.label}: {row.text}' for row in rows)}.{expected}{aimed}",
        claimed=aimed.lstrip(),
    )


def networks(finding: Finding) -> DotPlot | None:
    """Each network's values, by group; the halves of a group that the claim halves stand apart."""
    reading, claim = finding.reading, finding.claim
    apart = {}
    if claim.halves:
        apart = dict(zip(map(formats.capital, side_names(claim)), (reading.first, reading.second), strict=True))
        apart["In neither half"] = (*reading.between, *reading.unknown)
    return dot_plot(reading.networks, reading.metric, reading.unit, claim.range, apart)


def _within(title: str) -> str:
    """A title within a sentence; a name such as AUC stays as it is."""
    return title[0].lower() + title[1:] if title[1:2].islower() else title


def _points(unit: str) -> str:
    return "points" if unit == "%" else unit


def _row(label: str, kind: str, estimate: float, interval: Interval | None, unit: str, axis: Axis, top: int) -> Row:
    text, bar = formats.with_unit(estimate, unit, signed=True), None
    if interval is not None:
        text += f", 95 % interval {formats.interval_text(interval, unit, signed=True)}"
        bar = axis.bar(interval, over_images=False)
    else:
        text += ", no interval"
    return Row(label, kind, top, axis.place(estimate), bar, text)


def _shortened(name: str) -> str:
    name = formats.capital(name)
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"
