"""Intervals, tests and verdicts for few networks and fewer seeds, as pure functions.

Two questions about two groups of networks are told apart everywhere:

* *these networks*: the networks are fixed, only seeds vary;
* *architectures in general*: the networks are a sample, and each network's mean over its seeds is one observation.
"""

from autovul.base.statistics.adjustment import AdjustedDifference, adjusted_difference, separable
from autovul.base.statistics.association import rank_correlation
from autovul.base.statistics.groups import Difference, Permutation, compare_groups, permutation_test
from autovul.base.statistics.intervals import (
    BySeed,
    Interval,
    fixed_networks_interval,
    mean_interval,
    welch_interval,
    wilson_interval,
)
from autovul.base.statistics.reliability import share_between_networks
from autovul.base.statistics.verdicts import Verdict, seeds_needed, verdict

__all__ = [
    "AdjustedDifference",
    "BySeed",
    "Difference",
    "Interval",
    "Permutation",
    "Verdict",
    "adjusted_difference",
    "compare_groups",
    "fixed_networks_interval",
    "mean_interval",
    "permutation_test",
    "rank_correlation",
    "seeds_needed",
    "separable",
    "share_between_networks",
    "verdict",
    "welch_interval",
    "wilson_interval",
]
