"""Genotypes as pictures: both cells as graphs, one above the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autovul.base.atomic import whole_file
from autovul.base.cell_graph import BOX, CELLS, RADIUS, STATE, CellGraph, Edge, Placed, Point
from autovul.vision.models.facts import ModelFacts
from autovul.vision.tools.cell_text import describe_cell, describe_network
from autovul.vision.utils.model_archs.darts.genotypes import Genotype, cell_facts

# Colours of the operations: fill, and text and edge.
COLOURS = {
    "skip": ("#eceff1", "#546e7a"),
    "max": ("#fff3e0", "#d9730d"),
    "avg": ("#fff8e1", "#b58900"),
    "sep": ("#e3f2fd", "#1565c0"),
    "dil": ("#ede7f6", "#6a3fb5"),
    "conv": ("#e0f2f1", "#00796b"),
}
INK, FAINT = "#37474f", "#b0bec5"
UNIT = 0.5  # inches that a unit of the graph takes
MARGIN = 1.0
TITLE, HEADING = 1.6, 1.2  # heights of what stands above both cells, and above each


def draw_genotype(path: Path, name: str, genotype: Genotype, facts: ModelFacts) -> None:
    """Draw both cells.

    Args:
        path: The file to write, ``.png`` or ``.svg``.
        name: What to call the genotype.
        genotype: Its cells.
        facts: Of the network that is built of them, for the caption.
    """
    from matplotlib.figure import Figure

    found = cell_facts(genotype)
    graphs = [
        CellGraph(getattr(genotype, cell), getattr(genotype, f"{cell}_concat"), reduction=cell == "reduce")
        for cell, _ in CELLS
    ]
    width = max(graph.width for graph in graphs) + 2 * MARGIN
    height = TITLE + sum(graph.height + HEADING + 0.4 for graph in graphs)
    figure = Figure(figsize=(UNIT * width, UNIT * height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-MARGIN, width - MARGIN)
    axes.set_ylim(height - TITLE, -TITLE)
    axes.axis("off")
    axes.text(-MARGIN / 2, -1.05, name, fontsize=15, fontweight="bold", color=INK, va="center")
    axes.text(-MARGIN / 2, -0.4, describe_network(facts), fontsize=9.5, color=INK, va="center")
    top = 0.0
    for graph, (cell, title) in zip(graphs, CELLS, strict=True):
        axes.plot([-MARGIN / 2, width - 1.5 * MARGIN], [top + 0.05] * 2, color=FAINT, linewidth=0.8)
        axes.text(-MARGIN / 2, top + 0.5, title, fontsize=11, fontweight="bold", color=INK, va="center")
        text = describe_cell(getattr(found, cell)) + ("; ↓2: stride 2" if cell == "reduce" else "")
        axes.text(width - 1.5 * MARGIN, top + 0.5, text, fontsize=9, color=INK, va="center", ha="right")
        _draw(axes, graph, top + HEADING)
        top += graph.height + HEADING + 0.4
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."), dpi=160)


def _draw(axes: Any, graph: CellGraph, top: float) -> None:
    from matplotlib.patches import Circle

    for edge in graph.edges:
        _edge(axes, edge, top)
    for operation in graph.operations:
        _operation(axes, operation, top)
    for number, (x, y) in enumerate(graph.nodes):
        axes.add_patch(Circle((x, top + y), RADIUS, facecolor=INK, edgecolor="none", zorder=4))
        axes.text(x, top + y + 0.01, str(number), color="white", fontsize=10, ha="center", va="center", zorder=5)
    for place, label in zip((*graph.inputs, graph.output), ("$c_{k-2}$", "$c_{k-1}$", "$c_k$"), strict=True):
        _state(axes, place, top, label)


def _edge(axes: Any, edge: Edge, top: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    points = [(x, top + y) for x, y in edge.points]
    codes = [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO]
    colour = COLOURS[edge.kind][1] if edge.kind else FAINT
    axes.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor=colour, linewidth=1.4, zorder=1))


def _operation(axes: Any, placed: Placed, top: float) -> None:
    fill, colour = COLOURS[placed.kind]
    (x0, y0), (x1, y1) = placed.arm
    axes.plot([x0, x1], [top + y0, top + y1], color=colour, linewidth=1.4)
    middle = top + placed.middle
    _rounded(axes, (placed.left, middle - BOX[1] / 2), BOX, fill, colour)
    label = {"fontsize": 8, "color": colour, "ha": "center", "va": "center", "zorder": 4}
    axes.text(placed.left + BOX[0] / 2, middle + 0.01, placed.label, **label)


def _state(axes: Any, place: Point, top: float, label: str) -> None:
    x, y = place[0], top + place[1]
    _rounded(axes, (x - STATE[0] / 2, y - STATE[1] / 2), STATE, "white", INK)
    axes.text(x, y, label, fontsize=11, color=INK, ha="center", va="center", zorder=4)


def _rounded(axes: Any, corner: Point, size: Point, fill: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={size[1] / 2.6}"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, facecolor=fill, edgecolor=colour, zorder=3))
