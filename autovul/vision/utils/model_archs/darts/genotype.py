"""What a genotype is, what makes one valid, and what its cells look like as graphs."""

from __future__ import annotations

from typing import NamedTuple

Edge = tuple[str, int]

OPERATIONS = (
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_7x1_1x7",
)

NUM_INPUTS = 2


class Genotype(NamedTuple):
    """Two cells: the one that keeps the resolution and the one that halves it.

    States 0 and 1 are the outputs of the two cells before; node k (from 0) adds the results of edges 2k and 2k + 1
    and is state k + 2. The cell's output concatenates the states named in its ``concat``.

    Attributes:
        normal: Edges ``(operation, input state)`` of the normal cell, two a node.
        normal_concat: States that the normal cell concatenates, in this order.
        reduce: Edges of the reduction cell; those from states 0 and 1 have stride 2.
        reduce_concat: States that the reduction cell concatenates.
    """

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]


class CellFacts(NamedTuple):
    """A cell as a graph.

    Attributes:
        depth: Connections on the longest path from an input of the cell to its output, the concatenation included.
        width: Sum over the nodes of the fraction of their two edges that come from the cell's inputs, in units of the
            cell's channel count.
        skips: Number of ``skip_connect`` operations.
    """

    depth: int
    width: float
    skips: int


class GenotypeFacts(NamedTuple):
    """`CellFacts` of both cells."""

    normal: CellFacts
    reduce: CellFacts


def cell_facts(genotype: Genotype) -> GenotypeFacts:
    """Depth, width and number of skip connections of both cells.

    Source: Shu, Wang and Cai, Understanding Architectures Learnt by Cell-based Neural Architecture Search
    (arXiv 1909.09569), section 3, for depth and width.
    """
    return GenotypeFacts(
        _facts(genotype.normal, genotype.normal_concat), _facts(genotype.reduce, genotype.reduce_concat)
    )


def _facts(edges: tuple[Edge, ...], concat: tuple[int, ...]) -> CellFacts:
    depths = [0] * NUM_INPUTS
    for first, second in zip(edges[::2], edges[1::2], strict=True):
        depths.append(1 + max(depths[first[1]], depths[second[1]]))
    return CellFacts(
        depth=1 + max(depths[state] for state in concat),
        width=sum(state < NUM_INPUTS for _, state in edges) / 2,
        skips=sum(operation == "skip_connect" for operation, _ in edges),
    )
