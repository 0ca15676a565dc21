"""Intervals, a permutation test and verdicts for few networks and fewer seeds, as pure functions.

Two questions about two groups of networks are told apart everywhere:

* *these networks*: the networks are fixed, only seeds vary;
* *architectures in general*: the networks are a sample, and each network's mean over its seeds is one observation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Literal

import numpy as np

EXACT_LIMIT = 50_000


@dataclass(frozen=True)
class Interval:
    """A confidence interval around an estimate."""

    estimate: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


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


@dataclass(frozen=True)
class Verdict:
    """What an interval says about a claimed difference.

    Args:
        direction: "holds" where the interval excludes 0 on the claimed side, "fails" on the other, else "undecided".
        size: "inside" or "outside" the expected band as a whole, else "across"; None where no band was claimed.
    """

    direction: Literal["holds", "fails", "undecided"]
    size: Literal["inside", "outside", "across"] | None


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval of a mean: x̄ ± t(n−1) · s / √n.

    Args:
        values: Independent observations.
        level: The confidence level, between 0 and 1.

    Returns:
        The interval, or None for fewer than two values.
    """
    if len(values) < 2:
        return None
    mean, variance, freedom = _mean_of_sample(values)
    return _t_interval(mean, variance, freedom, level)


def wilson_interval(successes: float, trials: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a rate, in [0, 1]; unlike the normal one it is right near 0 and 1.

    Args:
        successes: From 0 to ``trials``.
        trials: At least 1.
        level: The confidence level, between 0 and 1.

    Raises:
        ValueError: The counts are impossible.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"successes must be from 0 to trials and trials at least 1, got {successes} of {trials}")
    z = NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    rate = successes / trials
    scale = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    margin = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return Interval(rate, max(0.0, centre - margin), min(1.0, centre + margin))


def welch_interval(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval | None:
    """Welch's interval of mean(first) − mean(second), for groups of unlike size and variance.

    Args:
        first, second: One independent observation a network.
        level: The confidence level, between 0 and 1.

    Returns:
        The interval, or None where a group has fewer than two values.

    Source: Welch, Biometrika 34 (1947).
    """
    if len(first) < 2 or len(second) < 2:
        return None
    return _difference(_mean_of_sample(first), _mean_of_sample(second), level)


def fixed_networks_interval(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], level: float = 0.95
) -> Interval | None:
    """The interval of the difference of two group means for these very networks: only seeds vary.

    A group's mean is the mean of its k networks' means; its variance is s² / k² · Σ 1/nᵢ, with nᵢ the seeds of
    network i and s² the variance between seeds, pooled over the group's networks. The two groups' degrees of freedom
    are joined by Satterthwaite's rule.

    Args:
        first, second: For each network its values, one a seed. Runs must be independent; a part that all runs of a
            seed share cancels in the difference, so that the interval is then too wide rather than too narrow.
        level: The confidence level, between 0 and 1.

    Returns:
        The interval, or None where a group has no network with two values.
    """
    means = [_mean_of_fixed_networks(group) for group in (first, second)]
    if means[0] is None or means[1] is None:
        return None
    return _difference(means[0], means[1], level)


def permutation_test(
    first: Sequence[float], second: Sequence[float], draws: int = 20_000, seed: int = 1228
) -> Permutation | None:
    """How often a random division of the networks gives a difference of means at least as large in size.

    All divisions are counted where there are at most 50,000 (10 against 7 networks: 19,448), else ``draws`` random
    ones, the observed one included.

    Args:
        first, second: One observation a network.
        draws: How many random divisions.
        seed: The seed of the random divisions.

    Returns:
        The test, or None where a group has fewer than two values.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    values = np.concatenate([np.asarray(first, float), np.asarray(second, float)])
    values -= values.mean()
    size, total = len(first), len(values)
    divisions = math.comb(total, size)
    exact = divisions <= EXACT_LIMIT
    if exact:
        chosen = np.array(list(itertools.combinations(range(total), size)))
    else:
        chosen = np.random.default_rng(seed).random((draws, total)).argpartition(size, axis=1)[:, :size]
        divisions = draws
    # With the values centred, a division's difference of means is its first group's sum times a constant.
    sums = np.abs(values[chosen].sum(axis=1))
    observed = abs(values[:size].sum())
    rounding = 1e-12 * total * np.abs(values).max()
    as_large = int((sums >= observed - rounding).sum())
    p_value = as_large / divisions if exact else (as_large + 1) / (divisions + 1)
    return Permutation(p_value, divisions, exact)


def compare_groups(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], level: float = 0.95
) -> Difference:
    """Compare two groups of networks, first minus second, in every way the data allow.

    Args:
        first, second: For each network its values, one a seed; at least one network and one value each.
        level: The confidence level, between 0 and 1.

    Raises:
        ValueError: A group or a network has no value.
    """
    if not (first and second and all(first) and all(second)):
        raise ValueError("first and second must each have a network, and each network a value")
    means = [[fmean(values) for values in group] for group in (first, second)]
    return Difference(
        estimate=fmean(means[0]) - fmean(means[1]),
        these_networks=fixed_networks_interval(first, second, level),
        architectures=welch_interval(means[0], means[1], level),
        permutation=permutation_test(means[0], means[1]),
        networks=(len(first), len(second)),
    )


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


_Mean = tuple[float, float, float]  # a mean, the variance of that mean, and its degrees of freedom


def _mean_of_sample(values: Sequence[float]) -> _Mean:
    sample = np.asarray(values, float)
    return fmean(sample), _variance(sample) / len(sample), len(sample) - 1.0


def _mean_of_fixed_networks(networks: Sequence[Sequence[float]]) -> _Mean | None:
    samples = [np.asarray(values, float) for values in networks]
    freedom = sum(len(sample) - 1 for sample in samples)
    if freedom < 1:
        return None
    pooled = sum(_variance(sample) * (len(sample) - 1) for sample in samples if len(sample) > 1) / freedom
    share = sum(1 / len(sample) for sample in samples) / len(samples) ** 2
    return fmean(fmean(sample) for sample in samples), pooled * share, float(freedom)


def _variance(sample: np.ndarray) -> float:
    # Equal values must have no variance at all; rounding in the mean would leave some.
    return 0.0 if (sample == sample[0]).all() else float(sample.var(ddof=1))


def _difference(first: _Mean, second: _Mean, level: float) -> Interval:
    (mean_1, variance_1, freedom_1), (mean_2, variance_2, freedom_2) = first, second
    variance = variance_1 + variance_2
    spread = variance_1**2 / freedom_1 + variance_2**2 / freedom_2
    freedom = variance**2 / spread if spread > 0 else freedom_1 + freedom_2
    return _t_interval(mean_1 - mean_2, variance, freedom, level)


def _t_interval(mean: float, variance: float, freedom: float, level: float) -> Interval:
    from scipy.special import stdtrit

    margin = float(stdtrit(freedom, 0.5 + _checked(level) / 2)) * math.sqrt(variance)
    return Interval(mean, mean - margin, mean + margin)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return level
