"""How a figure of networks goes with a fact of them: rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from autovul.base.statistics.intervals import Interval

LEAST_FOR_CORRELATION = 5


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
