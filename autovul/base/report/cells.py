"""The cells of the networks that are made of some, drawn from the genotypes in their records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from autovul.base.cell_graph import CELLS, CellGraph, cell_text
from autovul.base.report import catalogue
from autovul.base.report.sections import Network, Section

KINDS = ("skip", "max", "avg", "sep", "dil", "conv")  # of operations, each with its own colour
MAX_NODES = 32  # a record is not to be trusted with the size of the page


@dataclass(frozen=True)
class Drawing:
    """One of the two cells.

    Args:
        title: Which of the two it is.
        graph: What to draw.
        lines: Kind of operation and SVG path of each edge, and of what joins an operation with its node.
        description: The cell in words.
    """

    title: str
    graph: CellGraph
    lines: tuple[tuple[str, str], ...]
    description: str


@dataclass(frozen=True)
class Cells:
    """Both cells of a network."""

    network: Network
    drawings: tuple[Drawing, ...]


def cells(sections: Iterable[Section]) -> list[Cells]:
    """The cells of every network whose records hold a genotype, each once, by group and name."""
    found: dict[str, Cells] = {}
    networks = (network for section in sections for network in section.networks)
    for network in sorted(networks, key=lambda network: catalogue.network_rank(network.group, network.name)):
        genotype = network.facts.get("genotype")
        key = f"{network.name} {genotype}"
        if key not in found and (drawings := _drawings(genotype)):
            found[key] = Cells(network, drawings)
    return list(found.values())


def _drawings(genotype: Any) -> tuple[Drawing, ...]:
    """Nothing where it is no genotype."""
    if not isinstance(genotype, dict):
        return ()
    drawings = []
    for cell, title in CELLS:
        edges: Any = genotype.get(cell)
        concat: Any = genotype.get(f"{cell}_concat")
        if not _is_cell(edges, concat):
            return ()
        text = "; ".join(" ".join(line.split()) for line in cell_text(edges, concat))
        graph = CellGraph(edges, concat, reduction=cell == "reduce")
        drawings.append(Drawing(title, graph, _lines(graph), f"{title}: {text}."))
    return tuple(drawings)


def _lines(graph: CellGraph) -> tuple[tuple[str, str], ...]:
    lines = []
    for edge in graph.edges:
        start, turn, *curve, end = (f"{x:.4g} {y:.4g}" for x, y in edge.points)
        lines.append((edge.kind, f"M{start}L{turn}C{' '.join(curve)}L{end}"))
    for placed in graph.operations:
        lines.append((placed.kind, "M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in placed.arm)))
    return tuple(lines)


def _is_cell(edges: Any, concat: Any) -> bool:
    if not (isinstance(edges, list) and isinstance(concat, list)):
        return False
    nodes = len(edges) // 2
    if len(edges) % 2 or not 1 <= nodes <= MAX_NODES or not 1 <= len(concat) <= nodes + 2:
        return False
    known = all(
        isinstance(edge, list) and len(edge) == 2 and isinstance(edge[0], str) and _is_state(edge[1], 2 + index // 2)
        for index, edge in enumerate(edges)
    )
    return known and all(_is_state(state, 2 + nodes) for state in concat)


def _is_state(state: Any, count: int) -> bool:
    return isinstance(state, int) and not isinstance(state, bool) and 0 <= state < count
