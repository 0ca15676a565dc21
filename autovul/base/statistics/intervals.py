"""Intervals for few networks and fewer seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np

BySeed = Mapping[int, float]
"""A network's values, each with its seed."""


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

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


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
    return t_interval(fmean(values), *_variance_of_mean(values), level)


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
    spreads = _variance_of_mean(first), _variance_of_mean(second)
    variance = sum(variance for variance, _ in spreads)
    return t_interval(fmean(first) - fmean(second), variance, joined_freedom(*spreads), level)


def fixed_networks_interval(first: Sequence[BySeed], second: Sequence[BySeed], level: float = 0.95) -> Interval | None:
    """The interval of the difference of two group means for these very networks: only seeds vary.

    A group's mean is the mean of its k networks' means. The interval is `weighted_interval`'s, with the weight 1 / k.

    Args:
        first, second: For each network its values by seed.
        level: The confidence level, between 0 and 1.

    Returns:
        The interval, or None where a group has no network with two values.
    """
    weights = [[1 / len(group)] * len(group) for group in (first, second)]
    interval = weighted_interval((first, weights[0]), (second, weights[1]), level)
    if interval is None:
        return None
    centre = difference_of_means(first, second)  # without the rounding of the weights
    return Interval(centre, centre - interval.margin, centre + interval.margin)


def difference_of_means(first: Sequence[BySeed], second: Sequence[BySeed]) -> float:
    """Mean over the first group's networks minus mean over the second's, each network counting once."""
    means = [fmean(fmean(values.values()) for values in group) for group in (first, second)]
    return means[0] - means[1]


_Weighted = tuple[Sequence[BySeed], Sequence[float]]  # networks, and the weight of each one's mean


def weighted_interval(first: _Weighted, second: _Weighted, level: float = 0.95) -> Interval | None:
    """The interval of Σ wᵢ x̄ᵢ over one group of fixed networks minus the same over another; only seeds vary.

    Two variances are known for each sum: `variance_by_network`, which takes all runs as independent, and
    `variance_by_seed`, which holds whatever the runs of a seed share (images, the order of data) and how unlike the
    networks vary, but has few degrees of freedom. Each pair of them is joined by Satterthwaite's rule, and the wider of
    the two intervals is taken. A part that both groups share in a seed cancels in the difference: the interval is then
    too wide rather than too narrow. Networks may have different seeds; where few share them, there is little to tell
    how a seed moves a group, and the interval is wide.

    Returns:
        The interval, or None where a group has no network with two values.
    """
    centre = math.fsum(
        sign * weight * fmean(values.values())
        for sign, group in ((1, first), (-1, second))
        for values, weight in zip(*group, strict=True)
    )
    found = []
    for variance in (variance_by_network, variance_by_seed):
        known = [variance(*group) for group in (first, second)]
        if known[0] is not None and known[1] is not None:
            spread, freedom = known[0][0] + known[1][0], joined_freedom(known[0], known[1])
            found.append(t_interval(centre, spread, freedom, level))
    return max(found, key=lambda interval: interval.margin, default=None)


def variance_by_network(networks: Sequence[BySeed], weights: Sequence[float]) -> tuple[float, float] | None:
    """The variance of Σ wᵢ x̄ᵢ if all runs are independent, s² Σ wᵢ² / nᵢ, and its degrees of freedom.

    s² is pooled over the networks, which are taken to vary alike.

    Args:
        networks: For each network its values by seed.
        weights: One a network.

    Returns:
        None where no network has two values.
    """
    samples = [np.array([*values.values()], float) for values in networks]
    freedom = sum(len(sample) - 1 for sample in samples)
    if not freedom:
        return None
    pooled = sum(_variance(sample) * (len(sample) - 1) for sample in samples if len(sample) > 1) / freedom
    share = sum(weight**2 / len(sample) for weight, sample in zip(weights, samples, strict=True))
    return pooled * share, float(freedom)


def variance_by_seed(networks: Sequence[BySeed], weights: Sequence[float]) -> tuple[float, float] | None:
    """The variance of Σ wᵢ x̄ᵢ if the runs of a seed go together, and its degrees of freedom.

    With uₛ the sum over the networks of wᵢ / nᵢ · (xᵢₛ − x̄ᵢ), the part of seed s, it is r · Σ uₛ². Were all of a seed's
    chance shared by the networks, u would be A b, with b the seeds' independent parts and A[s, t] the sum over the
    networks with both seeds of wᵢ / nᵢ · (δₛₜ − 1 / nᵢ); Σ wᵢ x̄ᵢ would vary by Σ cₛ² and Σ uₛ² come to tr AᵀA, with cₛ
    the sum of wᵢ / nᵢ over the networks with seed s. Were none of it shared, they would be Σ wᵢ² / nᵢ and
    Σ wᵢ² / nᵢ · (1 − 1 / nᵢ). r is the larger of the two ratios; the degrees of freedom are (tr M)² / tr M², M = AᵀA.
    Where all networks have the same S seeds and weights, r is S / (S − 1), the degrees are S − 1, and it is the
    variance of the mean of the seeds' means. A network with one value tells nothing, and is counted in what varies.
    In c and A weights count by their size: where those of both signs cancel, u shows nothing, whatever a seed does.

    Source: Liang and Zeger, Biometrika 73 (1986), for one cluster a seed; the correction and its degrees of freedom as
    in Bell and McCaffrey, Survey Methodology 28 (2002), for this model.

    Args:
        networks: For each network its values by seed.
        weights: One a network.

    Returns:
        None where no network with a weight has two values.
    """
    places = {seed: place for place, seed in enumerate(sorted({seed for values in networks for seed in values}))}
    parts, shares = np.zeros(len(places)), np.zeros(len(places))
    seen = np.zeros((len(places), len(places)))
    alone = alone_seen = 0.0
    for values, weight in zip(networks, weights, strict=True):
        count, own = len(values), [places[seed] for seed in values]
        size = abs(weight) / count
        shares[own] += size
        alone += weight**2 / count
        if count == 1:
            continue
        alone_seen += weight**2 / count * (1 - 1 / count)
        sample = np.array([*values.values()], float)
        if not (sample == sample[0]).all():  # rounding in the mean must not look like spread
            parts[own] += weight / count * (sample - sample.mean())
        seen[own, own] += size
        seen[np.ix_(own, own)] -= size / count
    if not alone_seen:
        return None
    model = seen.T @ seen
    trace = float(np.trace(model))
    ratio = max(alone / alone_seen, float(shares @ shares) / trace)
    return ratio * float(parts @ parts), trace**2 / float(np.square(model).sum())


def _variance_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """With its degrees of freedom."""
    return _variance(np.asarray(values, float)) / len(values), len(values) - 1.0


def _variance(sample: np.ndarray) -> float:
    # Equal values must have no variance at all; rounding in the mean would leave some.
    return 0.0 if (sample == sample[0]).all() else float(sample.var(ddof=1))


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


@functools.lru_cache(maxsize=4096)
def f_quantile(above: float, below: float, probability: float) -> float:
    """The value that Fisher's F, with these degrees of freedom, stays below with this probability."""
    from scipy.special import fdtri

    return float(fdtri(above, below, probability))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return level
