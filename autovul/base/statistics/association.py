"""How a figure of networks goes with a fact of them: rank correlation, and a difference with the fact held equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean

import numpy as np

from autovul.base.statistics.groups import Difference
from autovul.base.statistics.intervals import BySeed, Interval, t_interval, weighted_interval

LEAST_FOR_CORRELATION = 5
LEAST_FOR_A_LINE = 6  # networks; with fewer, three degrees of freedom at the least are not left beside the line's
LEAST_ALIKE = 2  # networks of a group within the other's range; a single one would carry the whole comparison


def rank_correlation(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval | None:
    """Spearman's correlation with its interval: tanh(artanh r ± z · √((1 + r²/2) / (n − 3))).

    Equal values share their mean rank.

    Args:
        first, second: One value each a network.
        level: The confidence level, between 0 and 1.

    Returns:
        None for fewer than five networks, or where one of the two is the same for all.

    Source: Bonett and Wright, Psychometrika 65 (2000). For fewer than ten networks the interval is too wide rather than
    too narrow.
    """
    ranks = [_ranks(values) for values in (first, second)]
    count = len(ranks[0])
    if count < LEAST_FOR_CORRELATION or any(np.ptp(rank) == 0 for rank in ranks):
        return None
    r = float(np.clip(np.corrcoef(ranks[0], ranks[1])[0, 1], -1, 1))
    if abs(r) > 1 - 1e-12:
        r = math.copysign(1, r)
        # artanh has no value at 1: the end that can be told is that of the largest correlation below it.
        below = 1 - 12 / (count**3 - count)
        end = _fisher(below, count, level)[0]
        return Interval(r, end, 1.0) if r > 0 else Interval(r, -1.0, -end)
    return Interval(r, *_fisher(r, count, level))


def _fisher(r: float, count: int, level: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.5 + level / 2)
    margin = z * math.sqrt((1 + r * r / 2) / (count - 3))
    return math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin)


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, places, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return ((last - counts + 1 + last) / 2)[places]


def separable(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two groups' networks can be compared at equal values: two of each lie in the range that both cover."""
    low, high = max(min(first), min(second)), min(max(first), max(second))
    return all(sum(low <= value <= high for value in values) >= LEAST_ALIKE for values in (first, second))


def adjusted_difference(
    first: Sequence[BySeed],
    second: Sequence[BySeed],
    covariate: tuple[Sequence[float], Sequence[float]],
    level: float = 0.95,
) -> Difference | None:
    """The difference of two groups' means that is left with a covariate held equal: b in y = a + b·[first] + c·x.

    One observation a network, by least squares; the same slope c in both groups. The answer to the first question takes
    networks and covariate as fixed and the line as right: b is a weighted sum of the networks' means, with the interval
    of `weighted_interval`. The answer to the second is the regression's own interval, with n − 3 degrees of freedom,
    which knows as well how far networks lie off the line.

    Args:
        first, second: For each network its values by seed.
        covariate: x of the first group's networks, and of the second's, without error.
        level: The confidence level, between 0 and 1.

    Returns:
        None where there are fewer than six networks, the groups are not `separable` by x (b would be extrapolated), or
        x is the same within both groups.

    Source: the analysis of covariance, Fisher, Statistical Methods for Research Workers (1932), section 49.1.
    """
    sizes = len(first), len(second)
    if sum(sizes) < LEAST_FOR_A_LINE or not separable(*covariate):
        return None
    x = np.concatenate([np.asarray(values, float) - fmean(values) for values in covariate])
    if float(x @ x) <= 1e-12 * max(1.0, float(np.square(np.concatenate(covariate)).sum())):
        return None
    shift = fmean(covariate[0]) - fmean(covariate[1])
    base = np.concatenate([np.full(sizes[0], 1 / sizes[0]), np.full(sizes[1], -1 / sizes[1])])
    weights = base - shift * x / float(x @ x)
    y = np.array([fmean(values.values()) for values in (*first, *second)])
    estimate, freedom = float(weights @ y), sum(sizes) - 3
    these = weighted_interval((first, weights[: sizes[0]].tolist()), (second, (-weights[sizes[0] :]).tolist()), level)
    centred = np.concatenate([part - part.mean() for part in np.split(y, [sizes[0]])])
    residual = centred - x * float(x @ centred) / float(x @ x)
    general = t_interval(estimate, float(residual @ residual) / freedom * float(weights @ weights), freedom, level)
    return Difference(estimate, these, general, None, sizes)
