"""How much of what is measured belongs to the networks, and how much to the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autovul.base.statistics.intervals import BySeed, Interval, f_quantile


def share_between_networks(groups: Sequence[Sequence[BySeed]], level: float = 0.95) -> Interval | None:
    """The share of the variance of single runs that lies between networks of a group: intraclass correlation, ICC(1).

    With σ² the variance between seeds of a network and τ² that between networks of a group, τ² / (τ² + σ²), estimated
    by (F − 1) / (F + n − 1), F = n · s² / w. s² is the variance of the networks' means about their group's, w that of
    single values about their network's, both pooled over the groups, and n the harmonic mean of the numbers of seeds.
    The interval is F's; all are kept within 0 and 1.

    Runs are taken as independent, and σ² and τ² as the same for all. What a seed does to all networks alike counts as
    chance, so that the share is then somewhat too small.

    Args:
        groups: For each group its networks' values by seed.
        level: The confidence level, between 0 and 1.

    Returns:
        None where no group has two networks, no network two seeds, or no network's seeds differ.

    Source: Shrout and Fleiss (1979), Psychological Bulletin 86; for unlike numbers of seeds Thomas and Hultquist
    (1978), Annals of Statistics 6.
    """
    values = [np.array([*network.values()], float) for group in groups for network in group]
    between = sum(len(group) - 1 for group in groups if group)
    within = sum(len(each) - 1 for each in values)
    if between < 1 or within < 1:
        return None
    spread = sum(float(np.square(each - each.mean()).sum()) for each in values) / within
    if spread <= 0:
        return None
    means = [np.array([np.mean([*network.values()]) for network in group]) for group in groups if group]
    apart = sum(float(np.square(each - each.mean()).sum()) for each in means) / between
    seeds = len(values) / sum(1 / len(each) for each in values)
    ratio = seeds * apart / spread

    def share(f: float) -> float:
        return min(1.0, max(0.0, (f - 1) / (f + seeds - 1)))

    high, low = (f_quantile(between, within, 0.5 + sign * level / 2) for sign in (-1, 1))
    return Interval(share(ratio), share(ratio / low), share(ratio / high))
