"""What an interval says about a claimed difference, and how many seeds would say more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autovul.base.statistics.intervals import Interval, joined_freedom, t_quantile, weighted_sum

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


def verdict(interval: Interval, expected: float, tolerance: float | None = None) -> Verdict:
    """Judge a claimed difference by the interval of the measured one.

    Args:
        interval: Of the difference, in the claim's unit.
        expected: The claimed difference; its sign is the claimed direction.
        tolerance: Half the width of the expected band; None where none was claimed.

    Raises:
        ValueError: ``expected`` is 0, which has no direction.
    """
    if expected == 0:
        raise ValueError("expected must not be 0: a claim needs a direction")
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
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], level: float = 0.95, power: float = 0.8
) -> int | None:
    """How many seeds a network needs for `fixed_networks_interval` to exclude 0.

    With n seeds for each of the k networks of a group, the difference has the variance s₁² / (k₁ n) + s₂² / (k₂ n). The
    least n is taken for which (t(level) + t(power)) · √variance ≤ |difference|, so that an interval excludes 0 in the
    share ``power`` of repetitions; the difference and the variances between seeds are taken to be as measured.

    Args:
        first, second: For each network its values so far, one a seed.
        level: Of the interval.
        power: Between 0.5 and 1.

    Returns:
        Seeds a network in all, from 2 to 100; None where more would be needed, or the variance is not known.
    """
    mean_1, mean_2 = (weighted_sum(group, [1 / len(group)] * len(group)) for group in (first, second))
    if mean_1 is None or mean_2 is None:
        return None
    difference = abs(mean_1[0] - mean_2[0])
    # The variance of a group's mean with one seed a network: s² / k.
    single = [
        mean[1] * len(group) / sum(1 / len(values) for values in group)
        for mean, group in ((mean_1, first), (mean_2, second))
    ]
    for seeds in range(2, MOST_SEEDS + 1):
        spread = [variance / seeds for variance in single]
        freedoms = [len(group) * (seeds - 1.0) for group in (first, second)]
        freedom = joined_freedom((spread[0], freedoms[0]), (spread[1], freedoms[1]))
        quantiles = t_quantile(freedom, 0.5 + level / 2) + t_quantile(freedom, power)
        if difference > 0 and quantiles * math.sqrt(sum(spread)) <= difference:
            return seeds
    return None
