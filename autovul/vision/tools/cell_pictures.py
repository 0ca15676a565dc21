"""Genotypes as pictures: both cells as graphs that one reads from left to right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autovul.base.atomic import whole_file
from autovul.vision.models.facts import ModelFacts
from autovul.vision.tools.cell_text import CELLS, describe_cell, describe_network, short_name
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

# All in the same unit, of which UNIT inches make one.
UNIT = 0.5
LANE = 1.5  # from node to node, downwards
PORT = 0.33  # from a node's middle to each of its two operations
BOX = (2.6, 0.5)  # width and height of an operation
RADIUS = 0.3
COLUMN = 5.4  # from depth to depth, to the right
GUTTER = 1.4  # in which an edge changes its lane
MARGIN = 1.0


def draw_genotype(path: Path, name: str, genotype: Genotype, facts: ModelFacts) -> None:
    """Draw both cells.

    Every node has a lane of its own, and stands as far to the right as its longest path from an input is long. An edge
    changes to the lane of its target right behind its source, so that no edge runs through a node. Of a node's two
    operations, the one whose input stands higher is the upper one.

    Args:
        path: The file to write, ``.png`` or ``.svg``.
        name: What to call the genotype.
        genotype: Its cells.
        facts: Of the network that is built of them, for the caption.
    """
    from matplotlib.figure import Figure

    found = cell_facts(genotype)
    plans = [_Plan(getattr(genotype, cell), getattr(genotype, f"{cell}_concat")) for cell, _ in CELLS]
    width = max(plan.width for plan in plans) + 2 * MARGIN
    heights = [plan.height + 1.6 for plan in plans]
    figure = Figure(figsize=(UNIT * width, UNIT * (sum(heights) + 1.6)), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-MARGIN, width - MARGIN)
    axes.set_ylim(-sum(heights), 1.6)
    axes.axis("off")
    axes.text(-MARGIN / 2, 1.05, name, fontsize=15, fontweight="bold", color=INK, va="center")
    axes.text(-MARGIN / 2, 0.4, describe_network(facts), fontsize=9.5, color=INK, va="center")
    top = 0.0
    for plan, height, (cell, title) in zip(plans, heights, CELLS, strict=True):
        axes.plot([-MARGIN / 2, width - 1.5 * MARGIN], [top - 0.05] * 2, color=FAINT, linewidth=0.8)
        axes.text(-MARGIN / 2, top - 0.5, title, fontsize=11, fontweight="bold", color=INK, va="center")
        text = describe_cell(getattr(found, cell)) + ("; ↓2: stride 2" if cell == "reduce" else "")
        axes.text(width - 1.5 * MARGIN, top - 0.5, text, fontsize=9, color=INK, va="center", ha="right")
        _draw_cell(axes, plan, top - 1.2, reduction=cell == "reduce")
        top -= height
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."), dpi=160)


class _Plan:
    """Where the states of a cell stand."""

    def __init__(self, edges: tuple[tuple[str, int], ...], concat: tuple[int, ...]) -> None:
        self.edges, self.concat = edges, concat
        self.nodes = len(edges) // 2
        self.height = LANE * self.nodes
        depths = [0, 0]
        for first, second in zip(edges[::2], edges[1::2], strict=True):
            depths.append(1 + max(depths[first[1]], depths[second[1]]))
        middle = self.height / 2
        self.places = [(0.5, -middle + LANE / 2), (0.5, -middle - LANE / 2)]
        self.places += [(0.5 + COLUMN * depth, -LANE * (node + 0.5)) for node, depth in enumerate(depths[2:])]
        self.output = (0.5 + COLUMN * max(depths) + GUTTER + 1.3, -middle)
        self.width = self.output[0] + 0.8


def _draw_cell(axes: Any, plan: _Plan, top: float, *, reduction: bool) -> None:
    from matplotlib.patches import Circle

    for node, pair in enumerate(zip(plan.edges[::2], plan.edges[1::2], strict=True)):
        x, y = plan.places[2 + node]
        left = x - RADIUS - 0.5 - BOX[0]
        upper_first = sorted(pair, key=lambda edge: -plan.places[edge[1]][1])
        for (operation, state), port in zip(upper_first, (PORT, -PORT), strict=True):
            colour = _colours(operation)[1]
            lane = top + y + port
            _edge(axes, _right_of(plan, state, top), (left, lane), colour)
            axes.plot([left + BOX[0], x - 0.8 * RADIUS], [lane, lane - 0.5 * port], color=colour, linewidth=1.4)
            _operation(axes, left, lane, operation, strided=reduction and state < 2)
        axes.add_patch(Circle((x, top + y), RADIUS, facecolor=INK, edgecolor="none", zorder=4))
        axes.text(x, top + y - 0.01, str(node), color="white", fontsize=10, ha="center", va="center", zorder=5)
    for (x, y), label in zip(plan.places, ("$c_{k-2}$", "$c_{k-1}$"), strict=False):
        _box(axes, x, top + y, label)
    x, y = plan.output
    for state in plan.concat:
        _edge(axes, _right_of(plan, state, top), (x - 0.62, top + y), FAINT, late=True)
    _box(axes, x, top + y, "$c_k$")


def _colours(operation: str) -> tuple[str, str]:
    return COLOURS[operation.split("_")[0]]


def _right_of(plan: _Plan, state: int, top: float) -> tuple[float, float]:
    x, y = plan.places[state]
    return x + (0.55 if state < 2 else RADIUS), top + y


def _edge(axes: Any, start: tuple[float, float], end: tuple[float, float], colour: str, *, late: bool = False) -> None:
    """A line along one lane with a change of lanes behind its start or, if ``late``, before its end."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    (x0, y0), (x1, y1) = start, end
    turn = x1 - GUTTER if late else x0
    half = turn + GUTTER / 2
    points = [(x0, y0), (turn, y0), (half, y0), (half, y1), (turn + GUTTER, y1), (x1, y1)]
    codes = [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO]
    axes.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor=colour, linewidth=1.4, zorder=1))


def _operation(axes: Any, left: float, y: float, operation: str, *, strided: bool) -> None:
    fill, colour = _colours(operation)
    _rounded(axes, left, y - BOX[1] / 2, *BOX, fill, colour)
    label = short_name(operation) + ("  ↓2" if strided else "")
    axes.text(left + BOX[0] / 2, y - 0.01, label, fontsize=8, color=colour, ha="center", va="center", zorder=4)


def _box(axes: Any, x: float, y: float, label: str) -> None:
    _rounded(axes, x - 0.55, y - 0.36, 1.1, 0.72, "white", INK)
    axes.text(x, y, label, fontsize=11, color=INK, ha="center", va="center", zorder=4)


def _rounded(axes: Any, left: float, bottom: float, width: float, height: float, fill: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    radius = height / 2.6
    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch((left, bottom), width, height, boxstyle=shape, facecolor=fill, edgecolor=colour, zorder=3)
    )
