"""Cells made harder to attack: deeper ones, and ones without skip connections."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from autovul.vision.utils.model_archs.darts.genotype import NUM_INPUTS, Edge, Genotype

CELLS = ("normal", "reduce")
DEFAULT_REPLACEMENT = "sep_conv_3x3"

Replacement = Literal["sibling", "sep_conv_3x3"]


def mitigate(
    genotype: Genotype,
    *,
    deep: bool = False,
    no_skip: bool = False,
    cells: Collection[str] = ("normal",),
    replacement: Replacement = "sibling",
) -> Genotype:
    """A genotype with deeper cells, without skip connections, or both.

    * *deep*: every node after the first takes both inputs from the node just before it, so that the cell is as deep as
      it has nodes.
    * *no skip*: a skip connection becomes the operation of the other edge of its node; ``sep_conv_3x3`` where both are
      skips.

    From ``darts`` this makes exactly ``diy_deep`` (in the paper darts-i), ``diy_noskip`` (darts-ii) and, with both,
    ``diy_deep_noskip`` (darts-iii). Operations, their number and the concatenation stay.

    Source: On the Security Risks of AutoML (arXiv 2110.06018), on mitigation. The artifact's own generator differs from
    the cells that it ships: it is ``cells=("normal", "reduce"), replacement="sep_conv_3x3"``.

    Args:
        genotype: Where to start from.
        deep: Whether to deepen.
        no_skip: Whether to replace skip connections.
        cells: Which cells to change: "normal", "reduce".
        replacement: What replaces a skip: ``sibling``, the rule above, or always ``sep_conv_3x3``.

    Raises:
        ValueError: An argument is not one of these.
    """
    for cell in cells:
        if cell not in CELLS:
            raise ValueError(f"cells must be of {', '.join(CELLS)}; got {cell!r}")
    if replacement not in ("sibling", DEFAULT_REPLACEMENT):
        raise ValueError(f"replacement must be sibling or {DEFAULT_REPLACEMENT}, got {replacement!r}")
    changed: dict[str, Any] = {}
    for cell in cells:
        edges = getattr(genotype, cell)
        edges = _deepened(edges) if deep else edges
        changed[cell] = _without_skips(edges, replacement) if no_skip else edges
    return genotype._replace(**changed)


def _deepened(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    first_node = edges[:2]
    return first_node + tuple(
        (operation, NUM_INPUTS + index // 2 - 1) for index, (operation, _) in enumerate(edges) if index >= 2
    )


def _without_skips(edges: tuple[Edge, ...], replacement: Replacement) -> tuple[Edge, ...]:
    replaced = []
    for index, (operation, state) in enumerate(edges):
        if operation == "skip_connect":
            sibling = edges[index ^ 1][0]
            operation = sibling if replacement == "sibling" and sibling != operation else DEFAULT_REPLACEMENT
        replaced.append((operation, state))
    return tuple(replaced)
