"""A genotype in words: its cells node by node, and what they amount to."""

from __future__ import annotations

from autovul.base.cell_graph import CELLS, cell_text
from autovul.vision.models.facts import ModelFacts
from autovul.vision.utils.model_archs.darts.genotypes import CellFacts, Genotype, cell_facts


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
        text = cell_text(getattr(genotype, cell), getattr(genotype, f"{cell}_concat"))
        lines += ["", f"{title}: {describe_cell(getattr(found, cell))}", *(f"  {line}" for line in text)]
    return "\n".join(lines)
