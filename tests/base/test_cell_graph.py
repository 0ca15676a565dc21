"""Where the parts of a drawn cell stand."""

from __future__ import annotations

import pytest

from autovul.base.cell_graph import BOX, RADIUS, CellGraph
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES

GRAPHS = {f"{name}, normal": CellGraph(*genotype[:2], reduction=False) for name, genotype in GENOTYPES.items()}
GRAPHS |= {f"{name}, reduction": CellGraph(*genotype[2:], reduction=True) for name, genotype in GENOTYPES.items()}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_nothing_lies_on_anything_else(graph):
    boxes = [(p.left, p.middle - BOX[1] / 2, p.left + BOX[0], p.middle + BOX[1] / 2) for p in graph.operations]
    boxes += [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in graph.nodes]
    boxes += [(x - 0.55, y - 0.36, x + 0.55, y + 0.36) for x, y in (*graph.inputs, graph.output)]
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= graph.width + 1e-9 and bottom <= graph.height + 1e-9
        for other in boxes[:index]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart, (boxes[index], other)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_edges_go_to_the_right_and_end_at_what_they_feed(graph):
    starts = {(round(p.left, 6), round(p.middle, 6)) for p in graph.operations}
    for edge in graph.edges:
        xs = [x for x, _ in edge.points]
        assert xs == sorted(xs), "no edge turns back"
        if edge.kind:
            assert (round(edge.end[0], 6), round(edge.end[1], 6)) in starts
