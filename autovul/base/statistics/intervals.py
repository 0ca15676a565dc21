"""Intervals for few networks and fewer seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np


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
    return t_interval(mean, variance, freedom, level)


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
    return difference_interval(_mean_of_sample(first), _mean_of_sample(second), level)


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
    return difference_interval(means[0], means[1], level)


_Mean = tuple[float, float, float]  # an estimate, its variance, and the degrees of freedom of that variance


def _mean_of_sample(values: Sequence[float]) -> _Mean:
    sample = np.asarray(values, float)
    return fmean(sample), _variance(sample) / len(sample), len(sample) - 1.0


def _mean_of_fixed_networks(networks: Sequence[Sequence[float]]) -> _Mean | None:
    return weighted_sum(networks, [1 / len(networks)] * len(networks))


def weighted_sum(networks: Sequence[Sequence[float]], weights: Sequence[float]) -> _Mean | None:
    """Σ wᵢ x̄ᵢ over fixed networks, its variance s² Σ wᵢ² / nᵢ with s² pooled over them, and the degrees of freedom.

    Args:
        networks: For each network its values, one a seed.
        weights: One a network.

    Returns:
        None where no network has two values.
    """
    samples = [np.asarray(values, float) for values in networks]
    freedom = sum(len(sample) - 1 for sample in samples)
    if freedom < 1:
        return None
    pooled = sum(_variance(sample) * (len(sample) - 1) for sample in samples if len(sample) > 1) / freedom
    pairs = list(zip(weights, samples, strict=True))
    share = sum(weight**2 / len(sample) for weight, sample in pairs)
    return math.fsum(weight * fmean(sample) for weight, sample in pairs), pooled * share, float(freedom)


def _variance(sample: np.ndarray) -> float:
    # Equal values must have no variance at all; rounding in the mean would leave some.
    return 0.0 if (sample == sample[0]).all() else float(sample.var(ddof=1))


def difference_interval(first: _Mean, second: _Mean, level: float = 0.95) -> Interval:
    """The interval of first − second, their degrees of freedom joined by Satterthwaite's rule."""
    (mean_1, variance_1, freedom_1), (mean_2, variance_2, freedom_2) = first, second
    freedom = joined_freedom((variance_1, freedom_1), (variance_2, freedom_2))
    return t_interval(mean_1 - mean_2, variance_1 + variance_2, freedom, level)


def joined_freedom(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Satterthwaite's degrees of freedom of the sum of two (variance, degrees of freedom)."""
    total = first[0] + second[0]
    if total <= 0:
        return first[1] + second[1]
    return 1 / sum((variance / total) ** 2 / freedom for variance, freedom in (first, second))


def t_interval(mean: float, variance: float, freedom: float, level: float = 0.95) -> Interval:
    """Student's interval: mean ± t(freedom) · √variance."""
    margin = t_quantile(freedom, 0.5 + _checked(level) / 2) * math.sqrt(variance)
    return Interval(mean, mean - margin, mean + margin)


@functools.lru_cache(maxsize=4096)
def t_quantile(freedom: float, probability: float) -> float:
    """The value that Student's t stays below with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return level
