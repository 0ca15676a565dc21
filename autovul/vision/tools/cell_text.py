"""A genotype in words: its cells node by node, and what they amount to."""

from __future__ import annotations

from autovul.vision.models.facts import ModelFacts
from autovul.vision.utils.model_archs.darts.genotypes import CellFacts, Edge, Genotype, cell_facts

INPUTS = ("c[k-2]", "c[k-1]")
CELLS = (("normal", "Normal cell"), ("reduce", "Reduction cell"))


def short_name(operation: str) -> str:
    """``sep_conv_3x3`` as "sep conv 3×3"."""
    if operation == "skip_connect":
        return "skip"
    return operation.replace("_", " ").replace("x", "×").replace("ma×", "max")


def describe_cell(facts: CellFacts) -> str:
    """A cell's depth, width and number of skip connections on one line."""
    skips = "skip connection" if facts.skips == 1 else "skip connections"
    return f"depth {facts.depth}, width {facts.width:g} C, {facts.skips} {skips}"


def describe_network(facts: ModelFacts) -> str:
    """A network's size on one line."""
    size = f"{facts.parameters / 1e6:.2f} M parameters, {facts.multiply_adds / 1e6:,.0f} M multiply-adds"
    return f"{size}, depth {facts.depth}, {facts.skips} skip connections"


def genotype_text(name: str, genotype: Genotype, facts: ModelFacts) -> str:
    """The genotype as text.

    Args:
        name: What to call it.
        genotype: Its two cells.
        facts: Of the network that is built of them.
    """
    lines = [f"{name}: {describe_network(facts)}"]
    found = cell_facts(genotype)
    for cell, title in CELLS:
        edges, concat = getattr(genotype, cell), getattr(genotype, f"{cell}_concat")
        lines += ["", f"{title}: {describe_cell(getattr(found, cell))}"]
        rows = [[_operand(edge) for edge in edges[start : start + 2]] for start in range(0, len(edges), 2)]
        width = max(len(first) for first, _ in rows)
        for index, (first, second) in enumerate(rows):
            lines.append(f"  node {index}  =  {first:<{width}}  +  {second}")
        lines.append(f"  c[k]    =  concatenation of {', '.join(state_name(state) for state in concat)}")
    return "\n".join(lines)


def state_name(state: int) -> str:
    """An input of the cell, or a node counted from 0."""
    return INPUTS[state] if state < len(INPUTS) else f"node {state - len(INPUTS)}"


def _operand(edge: Edge) -> str:
    operation, state = edge
    return f"{short_name(operation)} ({state_name(state)})"
