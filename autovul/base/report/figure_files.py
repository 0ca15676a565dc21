"""The figures of claims and relations as PNG or PDF files, drawn with matplotlib from the same places as the page's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autovul.base.atomic import whole_file
from autovul.base.report import catalogue, claim_figure
from autovul.base.report.claim_figure import Forest
from autovul.base.report.figures import Axis, Bar, DotPlot
from autovul.base.report.line_figure import line_figure
from autovul.base.report.scatter import Scatter

if TYPE_CHECKING:
    from autovul.base.report.contents import Contents

COLOURS = {"manual": "#0072b2", "nas": "#c8500a", "mitigated": "#00805c", "yours": "#a23f7d", "sampled": "#7a6200"}
MARKERS = {"manual": "o", "nas": "D", "mitigated": "^", "yours": "s", "sampled": "p"}
OTHER = "#59636e"
TITLE = 92  # characters in a line of a title


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
    for name, drawing in _drawings(contents):
        height = 3.6 if isinstance(drawing, Scatter) else 0.9 + drawing.height / 90
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.subplots()
        _DRAW[type(drawing)](axes, drawing)
        figure.suptitle("\n".join(textwrap.wrap(drawing.title, TITLE)), fontsize=10, x=0.01, ha="left")
        path = folder / f"{name}.{kind}"
        with whole_file(path) as file:
            # Without a date, so that the same records give the same file.
            figure.savefig(file, format=kind, dpi=200, metadata={"CreationDate": None} if kind == "pdf" else None)
        paths.append(path)
    return paths


def _drawings(contents: Contents) -> Iterator[tuple[str, Any]]:
    for finding in contents.findings:
        stem = f"{finding.number:02d}_{_slug(finding.name)}"
        forest = claim_figure.forest(finding, contents.controls[finding.number])
        if forest is not None:
            yield f"{stem}_difference", forest
        plot = claim_figure.networks(finding)
        if plot is not None:
            yield f"{stem}_networks", plot
        for controlled in contents.controls[finding.number]:
            if (line := line_figure(finding, controlled)) is not None:
                yield f"{stem}_{_slug(controlled.name)}", line
        for relation in contents.relations.get(finding.number, ()):
            yield f"{stem}_against-{_slug(relation.fact)}", relation.figure


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
        axes.axvspan(*band, color="#0b5cad", alpha=0.12, linewidth=1.5 if band[0] == band[1] else 0)


def _draw_bar(axes: Any, bar: Bar | None, height: float, colour: str) -> None:
    if bar is not None:
        style = (0, (1.5, 1.5)) if bar.over_images else "solid"
        axes.hlines(height, bar.low, bar.high, color=colour, linewidth=1.4, linestyle=style)
        ends = [end for end, capped in ((bar.low, bar.capped_low), (bar.high, bar.capped_high)) if capped]
        axes.vlines(ends, height - 4, height + 4, color=colour, linewidth=1.4)


def _draw_forest(axes: Any, forest: Forest) -> None:
    _frame(axes, forest.axis, forest.height, forest.band)
    axes.axvline(forest.zero, color=OTHER, linewidth=1)
    middles = [row.top + claim_figure.ROW / 2 for row in forest.rows]
    axes.set_yticks(middles, [row.label for row in forest.rows], fontsize=8)
    axes.tick_params(axis="y", length=0)
    for row, middle in zip(forest.rows, middles, strict=True):
        colour = {"these": "#0b5cad", "general": "#1b1f24"}.get(row.kind, OTHER)
        _draw_bar(axes, row.bar, middle, colour)
        axes.plot(row.place, middle, "o", color=colour, markersize=5, clip_on=False)


def _draw_dots(axes: Any, plot: DotPlot) -> None:
    _frame(axes, plot.axis, plot.height, plot.band)
    places, names = [], []
    for block in plot.blocks:
        colour = COLOURS.get(block.group, OTHER)
        axes.vlines(block.mean, block.top + 10, block.bottom, color=colour, linewidth=1, linestyle="dashed")
        places.append(block.top + 14)
        names.append(block.title)
        for dot in block.dots:
            _draw_bar(axes, dot.bar, dot.top, colour)
            axes.plot(dot.seeds, [dot.top] * len(dot.seeds), ".", color=colour, alpha=0.45, markersize=4, clip_on=False)
            axes.plot(dot.place, dot.top, MARKERS.get(block.group, "x"), color=colour, markersize=5, clip_on=False)
            places.append(dot.top)
            names.append(dot.name)
    labels = axes.set_yticks(places, names, fontsize=7)
    axes.tick_params(axis="y", length=0)
    heads = {block.title for block in plot.blocks}
    for label, name in zip(labels, names, strict=True):
        if name in heads:
            label.label1.set_fontweight("bold")


def _draw_scatter(axes: Any, scatter: Scatter) -> None:
    _frame(axes, scatter.x_axis, 100, None)
    axis = scatter.y_axis
    axes.set_yticks([100 - axis.place(tick) for tick in axis.ticks], [axis.label(t) for t in axis.ticks], fontsize=8)
    for each in scatter.segments:
        style: dict[str, Any] = {"linewidth": 1.6} if each.is_fit else {"linewidth": 0.8, "alpha": 0.4}
        ends = zip(each.start, each.end, strict=True)
        axes.plot(*ends, color=COLOURS.get(each.group, OTHER), **style)
    for point in scatter.points:
        group = point.network.group
        colour = COLOURS.get(group, OTHER)
        axes.plot(
            *(point.left, point.top, MARKERS.get(group, "x")),
            color=colour,
            markerfacecolor="white" if point.is_variant else colour,
            markersize=5,
            clip_on=False,
            label=f"{catalogue.group_title(group)}{', other sizes' if point.is_variant else ''}",
        )
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one a label
    axes.legend(handles.values(), handles.keys(), fontsize=8, frameon=False)


_DRAW: dict[type, Callable[[Any, Any], None]] = {Forest: _draw_forest, DotPlot: _draw_dots, Scatter: _draw_scatter}
