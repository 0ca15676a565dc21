"""Two groups of networks compared: both intervals of the difference, and a permutation test."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from autovul.base.statistics.intervals import (
    BySeed,
    Interval,
    difference_of_means,
    fixed_networks_interval,
    welch_interval,
)
from autovul.base.statistics.verdicts import Verdict, verdict

EXACT_LIMIT = 50_000
DECIDED = 0.05  # largest p-value of a difference that is one in general


@dataclass(frozen=True)
class Permutation:
    """A two-sided permutation test: its p-value, and over how many divisions of the networks it was found."""

    p_value: float
    divisions: int
    exact: bool


@dataclass(frozen=True)
class Difference:
    """The difference of two groups' means, first minus second, with the answers to both questions.

    Args:
        estimate: Mean over the first group's networks minus mean over the second's.
        these_networks: The interval where only seeds vary; None unless both groups have a network with two seeds.
        architectures: Welch's interval over networks; None unless both groups have two networks.
        permutation: The permutation test over networks; None where ``architectures`` is.
        networks: How many networks each group has.
    """

    estimate: float
    these_networks: Interval | None
    architectures: Interval | None
    permutation: Permutation | None
    networks: tuple[int, int]

    def interval(self, *, in_general: bool) -> Interval | None:
        """What judges it: the interval for these networks or, in general, the wider of both, if both are known."""
        these, general = self.these_networks, self.architectures
        if not in_general or these is None or general is None:
            return general if in_general else these
        return max(these, general, key=lambda each: each.high - each.low)

    def judged(self, expected: float, tolerance: float | None, *, in_general: bool) -> Verdict | None:
        """The verdict; in general a direction is decided by the permutation test as well, where there is one.

        Args:
            expected, tolerance: As in `verdict`.
            in_general: Whether it is about what the networks were drawn from.
        """
        interval = self.interval(in_general=in_general)
        found = None if interval is None else verdict(interval, expected, tolerance)
        if found is not None and in_general and self.permutation is not None and self.permutation.p_value > DECIDED:
            return Verdict("undecided", found.size)
        return found


def permutation_test(
    first: Sequence[float], second: Sequence[float], draws: int = 20_000, seed: int = 1228
) -> Permutation | None:
    """How often a random division of the networks gives Welch's t at least as large in size.

    All divisions are counted where there are at most 50,000 (10 against 7 networks: 19,448), else ``draws`` random
    ones, the observed one included. With t in place of the plain difference the test keeps its size where one group
    varies more than the other.

    Args:
        first, second: One observation a network.
        draws: How many random divisions.
        seed: The seed of the random divisions.

    Returns:
        The test, or None where a group has fewer than two values.

    Source: Janssen, Statistics & Probability Letters 36 (1997).
    """
    if len(first) < 2 or len(second) < 2:
        return None
    values = np.concatenate([np.asarray(first, float), np.asarray(second, float)])
    values -= values.mean()
    size, total = len(first), len(values)
    divisions = math.comb(total, size)
    exact = divisions <= EXACT_LIMIT
    if exact:
        chosen = _all_divisions(total, size)
    else:
        places = np.random.default_rng(seed).random((draws, total)).argpartition(size, axis=1)[:, :size]
        chosen, divisions = np.zeros((draws, total)), draws
        np.put_along_axis(chosen, places, 1.0, axis=1)
    sizes = _squared_t(values, chosen, size)
    observed = _squared_t(values, np.repeat([1.0, 0.0], [size, total - size])[None], size)[0]
    as_large = int((sizes >= observed * (1 - 1e-9)).sum())
    p_value = as_large / divisions if exact else (as_large + 1) / (divisions + 1)
    return Permutation(p_value, divisions, exact)


def _squared_t(values: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Welch's t, squared, for each row of ones (first group) and zeros; ``values`` have the mean 0."""
    rest = len(values) - size
    sums, squares = chosen @ values, chosen @ values**2
    whole = float(values @ values)
    # Sums of squares about each group's own mean; where all are the same, rounding leaves a trace of them.
    about = (squares - sums**2 / size, whole - squares - sums**2 / rest)
    spread = sum(s.clip(0) / (n * (n - 1)) for s, n in zip(about, (size, rest), strict=True))
    spread = np.where(spread > 1e-12 * whole, spread, 0.0)
    difference = np.where(np.abs(sums) > 1e-12 * np.abs(values).sum(), sums * (1 / size + 1 / rest), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(difference**2 / spread, nan=0.0, posinf=np.inf)


@functools.lru_cache(maxsize=8)
def _all_divisions(total: int, size: int) -> np.ndarray:
    """Every choice of ``size`` of ``total`` networks, as a row of zeros and ones."""
    chosen = np.array(list(itertools.combinations(range(total), size)))
    rows = np.zeros((len(chosen), total))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def compare_groups(first: Sequence[BySeed], second: Sequence[BySeed], level: float = 0.95) -> Difference:
    """Compare two groups of networks, first minus second, in every way the data allow.

    Args:
        first, second: For each network its values by seed; at least one network and one value each.
        level: The confidence level, between 0 and 1.

    Raises:
        ValueError: A group or a network has no value.
    """
    if not (len(first) and len(second) and all(len(values) for values in (*first, *second))):
        raise ValueError("first and second must each have a network, and each network a value")
    means = [[fmean(values.values()) for values in group] for group in (first, second)]
    return Difference(
        estimate=difference_of_means(first, second),
        these_networks=fixed_networks_interval(first, second, level),
        architectures=welch_interval(means[0], means[1], level),
        permutation=permutation_test(means[0], means[1]),
        networks=(len(first), len(second)),
    )
