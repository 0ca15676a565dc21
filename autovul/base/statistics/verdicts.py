"""What an interval says about a claimed difference, and how many seeds would say more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autovul.base.statistics.intervals import (
    BySeed,
    Interval,
    difference_of_means,
    joined_freedom,
    t_quantile,
    variance_by_network,
    variance_by_seed,
)

MOST_SEEDS = 100  # what takes more repetitions is not worth a number


@dataclass(frozen=True)
class Verdict:
    """What an interval says about a claimed difference.

    Args:
        direction: "holds" where the interval excludes 0 on the claimed side, "fails" on the other, else "undecided".
        size: "inside" or "outside" the expected band as a whole, else "across"; None where no band was claimed.
    """

    direction: Literal["holds", "fails", "undecided"]
    size: Literal["inside", "outside", "across"] | None


def verdict(interval: Interval, expected: float, tolerance: float | None = None) -> Verdict | None:
    """Judge a claimed difference by the interval of the measured one.

    Args:
        interval: Of the difference, in the claim's unit.
        expected: The claimed difference; its sign is the claimed direction.
        tolerance: Half the width of the expected band; None where none was claimed.

    Returns:
        None for an interval without width: where all repetitions gave the same, nothing tells what chance does.

    Raises:
        ValueError: ``expected`` is 0, which has no direction.
    """
    if expected == 0:
        raise ValueError("expected must not be 0: a claim needs a direction")
    if interval.low == interval.high:
        return None
    sign = math.copysign(1, expected)
    near, far = sorted((sign * interval.low, sign * interval.high))
    direction: Literal["holds", "fails", "undecided"] = "holds" if near > 0 else "fails" if far < 0 else "undecided"
    if tolerance is None:
        return Verdict(direction, None)
    low, high = expected - tolerance, expected + tolerance
    if low <= interval.low and interval.high <= high:
        return Verdict(direction, "inside")
    return Verdict(direction, "outside" if interval.high < low or interval.low > high else "across")


def seeds_needed(
    first: Sequence[BySeed], second: Sequence[BySeed], level: float = 0.95, power: float = 0.8
) -> int | None:
    """How many seeds a network needs for `fixed_networks_interval` to exclude 0.

    With n seeds for each network a group's mean has the variance v / n, v being the larger of `variance_by_network` and
    `variance_by_seed` times the seeds there are, and n − 1 degrees of freedom, as in the wider interval. The least n is
    taken for which (t(level) + t(power)) · √variance ≤ |difference|, so that an interval excludes 0 in the share
    ``power`` of repetitions; the difference and the variances between seeds are taken to be as measured.

    Args:
        first, second: For each network its values so far, by seed.
        level: Of the interval.
        power: Between 0.5 and 1.

    Returns:
        Seeds a network in all, from 2 to 100; None where more would be needed, or the variance is not known.
    """
    single = [_variance_of_one_seed(group) for group in (first, second)]
    if single[0] is None or single[1] is None:
        return None
    difference = abs(difference_of_means(first, second))
    for seeds in range(2, MOST_SEEDS + 1):
        freedom = joined_freedom((single[0], seeds - 1.0), (single[1], seeds - 1.0))
        quantiles = t_quantile(freedom, 0.5 + level / 2) + t_quantile(freedom, power)
        if difference > 0 and quantiles * math.sqrt((single[0] + single[1]) / seeds) <= difference:
            return seeds
    return None


def _variance_of_one_seed(group: Sequence[BySeed]) -> float | None:
    """The variance that the group's mean would have with one seed a network."""
    weights = [1 / len(group)] * len(group)
    by_network, by_seed = variance_by_network(group, weights), variance_by_seed(group, weights)
    if by_network is None or by_seed is None:
        return None
    return max(by_network[0], by_seed[0]) * len(group) / sum(1 / len(values) for values in group)
