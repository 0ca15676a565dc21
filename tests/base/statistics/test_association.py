"""Rank correlation: against SciPy, and its coverage."""

import numpy as np
import pytest
from scipy import stats

from autovul.base.statistics import rank_correlation

ROUNDS = 1000
TOLERANCE = 0.028  # four standard errors of a coverage of 95 % over 1,000 rounds


@pytest.mark.parametrize(
    ("first", "second"), [([1, 2, 3, 4, 5, 9], [2, 1, 4, 3, 9, 7]), ([1, 1, 2, 5, 5], [3, 1, 2, 2, 8])]
)
def test_rank_correlation_agrees_with_scipy_with_and_without_ties(first, second):
    assert rank_correlation(first, second).estimate == pytest.approx(stats.spearmanr(first, second).statistic)


@pytest.mark.parametrize("networks", [17, 10])
@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.8])
def test_rank_correlation_covers(networks, correlation):
    # Spearman's correlation of a normal pair is 6/π · arcsin(ρ/2) (Pearson 1907).
    rng = np.random.default_rng(networks)
    truth = 6 / np.pi * np.arcsin(correlation / 2)
    hits = 0
    for _ in range(ROUNDS):
        x, y = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], networks).T
        interval = rank_correlation(x, y)
        hits += interval.low <= truth <= interval.high
    assert hits / ROUNDS == pytest.approx(0.95, abs=TOLERANCE)


def test_of_few_networks_rank_correlation_is_too_wide_rather_than_too_narrow():
    rng = np.random.default_rng(5)
    truth = 6 / np.pi * np.arcsin(0.5 / 2)
    for networks in (5, 7):
        pairs = (rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], networks).T for _ in range(ROUNDS))
        found = [rank_correlation(x, y) for x, y in pairs]
        assert np.mean([each.low <= truth <= each.high for each in found]) > 0.95 - TOLERANCE


def test_a_perfect_order_has_an_interval_up_to_one():
    up, down = rank_correlation(range(10), range(10)), rank_correlation(range(10), range(0, -10, -1))
    assert (up.estimate, up.high) == (1, 1) and 0.9 < up.low < 1
    assert (down.estimate, down.low, down.high) == (-1, -1, -up.low)


def test_what_has_no_correlation_is_none():
    assert rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) is None
    assert rank_correlation([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) is None
