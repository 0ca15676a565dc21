"""The figures of claims and relations as PNG or PDF files, drawn with matplotlib from the same places as the page's."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from autovul.base.atomic import whole_file
from autovul.base.report import catalogue, claim_figure, formats, wording
from autovul.base.report.claim_figure import Forest
from autovul.base.report.contents import Contents
from autovul.base.report.figures import Axis, Bar, DotPlot
from autovul.base.report.line_figure import line_figure
from autovul.base.report.scatter import Scatter

OTHER, BAND = catalogue.OTHER.colour, "#0b5cad"
OVER_IMAGES = (0, (1.5, 1.5))  # the line of an interval over images
TITLE, SENTENCE = 92, 108  # characters in a line
_Key = list[tuple[Any, str]]  # what stands in a figure's legend, with its text


def write(contents: Contents, folder: Path, kind: Literal["png", "pdf"]) -> list[Path]:
    """Write the files of each claim: its difference, its networks, each line that a control draws, each relation.

    Args:
        contents: The report.
        folder: Made where it is missing.
        kind: The format, also the files' suffix.

    Returns:
        The files.
    """
    from matplotlib.figure import Figure

    paths = []
    for name, drawing, *labels in _drawings(contents):
        height = 4.4 if isinstance(drawing, Scatter) else 1.6 + drawing.height / 90
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.subplots()
        x_title, y_title = map(formats.capital, labels)
        axes.set_xlabel(x_title, fontsize=8)
        axes.set_ylabel(y_title, fontsize=8)
        key = _DRAW[type(drawing)](axes, drawing)
        figure.legend(*zip(*key, strict=True), loc="outside lower left", ncols=2, fontsize=7, frameon=False)
        figure.suptitle("\n".join(textwrap.wrap(drawing.title, TITLE)), fontsize=10, x=0.01, ha="left")
        path = folder / f"{name}.{kind}"
        with whole_file(path) as file:
            # Without a date, so that the same records give the same file.
            figure.savefig(file, format=kind, dpi=200, metadata={"CreationDate": None} if kind == "pdf" else None)
        paths.append(path)
    return paths


def _drawings(contents: Contents) -> Iterator[tuple[str, Any, str, str]]:
    """Name, drawing, and the titles of its horizontal and its vertical axis."""
    for finding in contents.findings:
        metric = wording.title(finding.reading.metric, finding.reading.unit)
        stem = f"{finding.number:02d}_{_slug(finding.name)}"
        forest = claim_figure.forest(finding, contents.controls[finding.number])
        if forest is not None:
            yield f"{stem}_difference", forest, forest.label, ""
        plot = claim_figure.networks(finding)
        if plot is not None:
            yield f"{stem}_networks", plot, metric, ""
        for controlled in contents.controls[finding.number]:
            line, covariate = line_figure(finding, controlled), controlled.covariate
            if line is not None and covariate is not None:
                title = wording.title(controlled.metric, controlled.unit)
                yield f"{stem}_{_slug(controlled.name)}", line, f"{covariate.name}, {covariate.unit}", title
        for relation in contents.relations.get(finding.number, ()):
            unit = next((f", {t.unit}" for t in catalogue.TRAITS.values() if t.unit and t.title == relation.fact), "")
            figure = dataclasses.replace(relation.figure, sentence=f"{relation.sentence} In brackets: 95 % intervals.")
            yield f"{stem}_against-{_slug(relation.fact)}", figure, relation.fact + unit, metric


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def _frame(axes: Any, axis: Axis, height: int, band: tuple[float, float] | None) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(height, 0)
    axes.set_xticks([axis.place(tick) for tick in axis.ticks], [axis.label(tick) for tick in axis.ticks], fontsize=8)
    axes.grid(axis="x", color="#dfe3e8", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    if band:
        axes.axvspan(*band, color=BAND, alpha=0.12, linewidth=1.5 if band[0] == band[1] else 0)


def _draw_bar(axes: Any, bar: Bar | None, height: float, colour: str) -> None:
    if bar is not None:
        style = OVER_IMAGES if bar.over_images else "solid"
        axes.hlines(height, bar.low, bar.high, color=colour, linewidth=1.4, linestyle=style)
        for end, capped, arrow in ((bar.low, bar.capped_low, "<"), (bar.high, bar.capped_high, ">")):
            if capped:
                axes.vlines(end, height - 4, height + 4, color=colour, linewidth=1.4)
            else:
                axes.plot(end, height, arrow, color=colour, markersize=5, clip_on=False)


def _key_of_bars(bars: Iterable[Bar], band: tuple[float, float] | None) -> _Key:
    """What stands for intervals over seeds and over images, for those that the axis cuts, and for the claimed band."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars = [*bars]
    key: _Key = []
    if any(bar.over_images for bar in bars):
        dotted = Line2D([], [], color=OTHER, linewidth=1.4, linestyle=OVER_IMAGES)
        key.append((dotted, "one seed: 95 % interval over images only"))
    if not all(bar.capped_low and bar.capped_high for bar in bars):
        arrow = Line2D([], [], color=OTHER, marker=">", markersize=5, linestyle="none")
        key.append((arrow, "the interval goes on beyond the axis"))
    if band:
        key.append((Patch(color=BAND, alpha=0.2), "what is claimed"))
    return key


def _draw_forest(axes: Any, forest: Forest) -> _Key:
    from matplotlib.lines import Line2D

    _frame(axes, forest.axis, forest.height, forest.band)
    axes.axvline(forest.zero, color=OTHER, linewidth=1)
    middles = [row.top + claim_figure.ROW / 2 for row in forest.rows]
    axes.set_yticks(middles, [row.label for row in forest.rows], fontsize=8)
    axes.tick_params(axis="y", length=0, pad=7)
    for row, middle in zip(forest.rows, middles, strict=True):
        colour = {"these": "#0b5cad", "general": "#1b1f24"}.get(row.kind, OTHER)
        _draw_bar(axes, row.bar, middle, colour)
        axes.plot(row.place, middle, "o", color=colour, markersize=5, clip_on=False)
    bar = Line2D([], [], color=OTHER, linewidth=1.4)
    text = "95 % interval; of a control the one that it is judged by"
    return [(bar, text), *_key_of_bars((row.bar for row in forest.rows if row.bar), forest.band)]


def _draw_dots(axes: Any, plot: DotPlot) -> _Key:
    from matplotlib.lines import Line2D

    _frame(axes, plot.axis, plot.height, plot.band)
    places, names = [], []
    for block in plot.blocks:
        look = catalogue.look(block.group)
        colour = look.colour
        if block.mean is not None:
            axes.vlines(block.mean, block.top + 10, block.bottom, color=colour, linewidth=1, linestyle="dashed")
        places.append(block.top + 14)
        names.append(block.title)
        for dot in block.dots:
            _draw_bar(axes, dot.bar, dot.top, colour)
            if dot.seeds:  # an empty line would stand at the figure's corner, and the layout leave room for it
                heights = [dot.top] * len(dot.seeds)
                axes.plot(dot.seeds, heights, ".", color=colour, alpha=0.45, markersize=4, clip_on=False)
            axes.plot(dot.place, dot.top, look.marker, color=colour, markersize=5, clip_on=False)
            places.append(dot.top)
            names.append(dot.name)
    labels = axes.set_yticks(places, names, fontsize=7)
    axes.tick_params(axis="y", length=0, pad=7)
    heads = {block.title for block in plot.blocks}
    for label, name in zip(labels, names, strict=True):
        if name in heads:
            label.label1.set_fontweight("bold")
    key: _Key = [(Line2D([], [], color=OTHER, linewidth=1, linestyle="dashed"), "mean of the group's networks")]
    if plot.over_seeds:
        key.append((Line2D([], [], color=OTHER, linewidth=1.4), "95 % interval over seeds (Student's t)"))
        key.append((Line2D([], [], color=OTHER, alpha=0.6, marker=".", linestyle="none"), "a single seed"))
    return key + _key_of_bars(plot.bars, plot.band)


def _draw_scatter(axes: Any, scatter: Scatter) -> _Key:
    _frame(axes, scatter.x_axis, 100, None)
    axis = scatter.y_axis
    axes.set_yticks([100 - axis.place(tick) for tick in axis.ticks], [axis.label(t) for t in axis.ticks], fontsize=8)
    axes.set_title("\n".join(textwrap.wrap(scatter.sentence, SENTENCE)), fontsize=7, loc="left")
    for each in scatter.segments:
        style: dict[str, Any] = {"linewidth": 1.6} if each.is_fit else {"linewidth": 0.8, "alpha": 0.4}
        ends = zip(each.start, each.end, strict=True)
        group = f"{catalogue.group_title(each.group)}, " if each.group else ""
        label = f"{group}line through the networks" if each.is_fit else None  # the sentence tells of the others
        axes.plot(*ends, color=catalogue.look(each.group).colour, label=label, **style)
    for point in scatter.points:
        group = point.network.group
        look = catalogue.look(group)
        axes.plot(
            *(point.left, point.top, look.marker),
            color=look.colour,
            markerfacecolor="white" if point.is_variant else look.colour,
            markersize=5,
            clip_on=False,
            label=f"{catalogue.group_title(group)}{', other sizes' if point.is_variant else ''}",
        )
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one a label
    return [(handle, label) for label, handle in handles.items()]


_DRAW: dict[type, Callable[[Any, Any], _Key]] = {Forest: _draw_forest, DotPlot: _draw_dots, Scatter: _draw_scatter}
