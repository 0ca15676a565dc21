"""A cell as a graph that one reads from left to right: where its inputs, operations, nodes and edges stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# All in the same unit; x grows to the right, y downwards.
LANE = 1.5  # from node to node, downwards
PORT = 0.33  # from a node's middle to each of its two operations
BOX = (2.6, 0.5)  # width and height of an operation
STATE = (1.1, 0.72)  # width and height of an input's or the output's box
RADIUS = 0.3  # of a node
COLUMN = 5.4  # from depth to depth, to the right
GUTTER = 1.4  # in which an edge changes its lane

CELLS = (("normal", "Normal cell"), ("reduce", "Reduction cell"))  # of a genotype: entry and title

Point = tuple[float, float]


@dataclass(frozen=True)
class Placed:
    """An operation.

    Args:
        name: As in the genotype.
        strided: Whether it halves the resolution.
        left, middle: Its box's left end, and the height of its middle.
        node: Where the node is that adds its result.
    """

    name: str
    strided: bool
    left: float
    middle: float
    node: Point

    @property
    def kind(self) -> str:
        """The first part of the name, by which it is coloured."""
        return self.name.split("_")[0]

    @property
    def label(self) -> str:
        return short_name(self.name) + ("  ↓2" if self.strided else "")

    @property
    def arm(self) -> tuple[Point, Point]:
        """The line from the box to the node."""
        x, y = self.node
        return (self.left + BOX[0], self.middle), (x - 0.8 * RADIUS, self.middle + 0.5 * (y - self.middle))


@dataclass(frozen=True)
class Edge:
    """A line along one lane with one change of lanes.

    Args:
        start, end: Its ends.
        turn: Where the change begins; it takes a gutter's width.
        kind: That of the operation that it leads to; empty for one to the output.
    """

    start: Point
    end: Point
    turn: float
    kind: str

    @property
    def points(self) -> tuple[Point, Point, Point, Point, Point, Point]:
        """Start, a line's end, two control points and the end of a cubic curve, end of the last line."""
        half, after = self.turn + GUTTER / 2, self.turn + GUTTER
        y0, y1 = self.start[1], self.end[1]
        return self.start, (self.turn, y0), (half, y0), (half, y1), (after, y1), self.end


class CellGraph:
    """Where everything in a cell stands.

    Every node has a lane of its own, and stands as far to the right as its longest path from an input is long. An edge
    changes to the lane of its target right behind its source, so that no edge runs through a node. Of a node's two
    operations, the one whose input stands higher is the upper one.

    Args:
        edges: ``(operation, state)``, two a node. States 0 and 1 are the cell's inputs, state k + 2 is node k.
        concat: States that make the output.
        reduction: Whether operations on the inputs are strided.

    Attributes:
        width, height: Of all; the left end is at 0, the top at 0.
        inputs: Middles of the two inputs' boxes.
        output: Middle of the output's box.
        nodes: Middles of the nodes, by number.
        operations: Two for each node.
        edges: From a state to an operation or to the output.
    """

    def __init__(self, edges: Sequence[tuple[str, int]], concat: Iterable[int], *, reduction: bool) -> None:
        self.height = LANE * (len(edges) // 2)
        depths = [0, 0]
        for first, second in zip(edges[::2], edges[1::2], strict=True):
            depths.append(1 + max(depths[first[1]], depths[second[1]]))
        middle = self.height / 2
        self.inputs = ((STATE[0] / 2, middle - LANE / 2), (STATE[0] / 2, middle + LANE / 2))
        self.nodes = tuple((0.5 + COLUMN * depth, LANE * (node + 0.5)) for node, depth in enumerate(depths[2:]))
        self.output = (0.5 + COLUMN * max(depths) + GUTTER + 1.3, middle)
        self.width = self.output[0] + STATE[0] / 2
        places = (*self.inputs, *self.nodes)
        ends = (*((x + STATE[0] / 2, y) for x, y in self.inputs), *((x + RADIUS, y) for x, y in self.nodes))
        operations, lines = [], []
        for (x, y), pair in zip(self.nodes, zip(edges[::2], edges[1::2], strict=True), strict=True):
            upper_first = sorted(pair, key=lambda edge: places[edge[1]][1])
            for (name, state), port in zip(upper_first, (-PORT, PORT), strict=True):
                left = x - RADIUS - 0.5 - BOX[0]
                placed = Placed(name, reduction and state < 2, left, y + port, (x, y))
                operations.append(placed)
                lines.append(Edge(ends[state], (left, y + port), ends[state][0], placed.kind))
        x, y = self.output[0] - STATE[0] / 2, self.output[1]
        lines += [Edge(ends[state], (x, y), x - GUTTER, "") for state in concat]
        self.operations, self.edges = tuple(operations), tuple(lines)


INPUTS = ("c[k-2]", "c[k-1]")


def cell_text(edges: Sequence[tuple[str, int]], concat: Iterable[int]) -> list[str]:
    """A cell in words: a line for each node, and one for what is concatenated. Arguments as for `CellGraph`."""
    rows = [[_operand(edge) for edge in edges[start : start + 2]] for start in range(0, len(edges), 2)]
    width = max(len(first) for first, _ in rows)
    lines = [f"node {index}  =  {first:<{width}}  +  {second}" for index, (first, second) in enumerate(rows)]
    return [*lines, f"c[k]    =  concatenation of {', '.join(state_name(state) for state in concat)}"]


def _operand(edge: tuple[str, int]) -> str:
    operation, state = edge
    return f"{short_name(operation)} ({state_name(state)})"


def state_name(state: int) -> str:
    """An input of the cell, or a node counted from 0."""
    return INPUTS[state] if state < len(INPUTS) else f"node {state - len(INPUTS)}"


def short_name(operation: str) -> str:
    """``sep_conv_3x3`` as "sep conv 3×3"."""
    if operation == "skip_connect":
        return "skip"
    return operation.replace("_", " ").replace("x", "×").replace("ma×", "max")
