"""Cells drawn at random from the space that DARTS searches: what a search would have to beat."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable

from autovul.vision.utils.model_archs.darts.genotype import NUM_INPUTS, Edge, Genotype
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES

PREFIX = "sampled"
COUNT = 24
"""How many stand for the space: as many as the random search that DARTS is compared with draws."""
NODES = 4
SPACE = (
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
)
"""The operations of the space; "none" is not among them, since no cell that DARTS derives has it."""


@functools.cache
def sampled(number: int) -> Genotype:
    """The genotype of this number: the same at each call, on each machine.

    Both cells are drawn: four nodes, each of which takes two different earlier states, every pair as likely, and an
    operation of `SPACE` for each, every one as likely. A cell concatenates its four nodes.

    Source: the space is that of Liu et al., DARTS (arXiv 1806.09055), sections 2.1 and 3.1.1. How its authors drew for
    their random search is not told there.

    Args:
        number: From 1.
    """
    # Only `random()` is promised to give the same numbers in every version of Python.
    uniform = random.Random(number).random
    normal, reduce = _cell(uniform), _cell(uniform)
    concat = tuple(range(NUM_INPUTS, NUM_INPUTS + NODES))
    return Genotype(normal=normal, normal_concat=concat, reduce=reduce, reduce_concat=concat)


def _cell(uniform: Callable[[], float]) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    for node in range(NODES):
        states = list(range(NUM_INPUTS + node))
        chosen = sorted(states.pop(int(uniform() * len(states))) for _ in range(2))
        edges += [(SPACE[int(uniform() * len(SPACE))], state) for state in chosen]
    return tuple(edges)


def named_genotype(name: str) -> Genotype | None:
    """A genotype by name: one of `GENOTYPES`, or ``sampled_1``, ``sampled_2``, …; None where there is none."""
    number = re.fullmatch(rf"{PREFIX}_([1-9][0-9]{{0,8}})", name)
    return sampled(int(number[1])) if number else GENOTYPES.get(name)
