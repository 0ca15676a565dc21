"""Rank correlation and the difference with a covariate held equal: against SciPy, least squares, and their coverage."""

import numpy as np
import pytest
from scipy import stats

from autovul.base.statistics import adjusted_difference, rank_correlation, separable

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


def study(rng, seeds, slope=3.0, gap=10.0, between=4.0, chance=1.0):
    """Ten and seven networks whose figure falls with a covariate that the two groups have unlike amounts of."""
    covariate = rng.normal(1, 1, 10), rng.normal(0, 1, 7)
    first = [70 + gap + slope * x + rng.normal(0, between) + rng.normal(0, chance, seeds) for x in covariate[0]]
    second = [70 + slope * x + rng.normal(0, between) + rng.normal(0, chance, seeds) for x in covariate[1]]
    return [dict(enumerate(v)) for v in first], [dict(enumerate(v)) for v in second], tuple(map(list, covariate))


def test_adjusted_difference_is_least_squares():
    first, second, covariate = study(np.random.default_rng(1), 3)
    found = adjusted_difference(first, second, covariate)
    y = np.array([np.mean([*v.values()]) for v in first + second])
    design = np.column_stack([np.ones(17), [1] * 10 + [0] * 7, np.concatenate(covariate)])
    solution, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    assert found.estimate == pytest.approx(solution[1])
    error = np.sqrt(residual[0] / 14 * np.linalg.inv(design.T @ design)[1, 1])
    assert found.architectures.margin == pytest.approx(stats.t.ppf(0.975, 14) * error)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_adjusted_difference_covers_both_questions(seeds):
    rng = np.random.default_rng(seeds)
    general = fixed = rounds = 0
    while rounds < ROUNDS:
        first, second, covariate = study(rng, seeds)
        if (found := adjusted_difference(first, second, covariate)) is None:
            continue
        rounds += 1
        general += found.architectures.low <= 10 <= found.architectures.high
    assert general / ROUNDS == pytest.approx(0.95, abs=TOLERANCE)
    # These networks: their true means stay, only seeds vary.
    centres, others, covariate = study(rng, 1, chance=0)
    truth = adjusted_difference(centres, others, covariate).estimate
    for _ in range(ROUNDS):
        groups = [[dict(enumerate(c[0] + rng.normal(0, 1, seeds))) for c in group] for group in (centres, others)]
        found = adjusted_difference(*groups, covariate).these_networks
        fixed += found.low <= truth <= found.high
    assert 0.95 - TOLERANCE < fixed / ROUNDS < 0.999


def one_seed(*values):
    return [{1: value} for value in values]


def test_what_does_not_overlap_is_not_extrapolated():
    assert adjusted_difference(one_seed(1, 2, 4), one_seed(1, 3, 7), ([2.6, 3.1, 4.1], [7.0, 9.0, 67.0])) is None
    assert adjusted_difference(one_seed(1, 2, 4), one_seed(1, 3, 7), ([5.0] * 3, [5.0] * 3)) is None
    assert not separable([2.6, 4.1], [7, 67]) and separable([1, 5, 2, 3], [2, 3])
    assert not separable([1, 2, 3], [3, 4, 5]), "a single network of each side reaches the other's range"
    assert not separable([1, 2, 3], [0, 2.5, 9]), "the manual one at 2.5 would carry the comparison alone"
    assert separable([1, 2, 3], [0, 2.5, 2.6, 9])


def test_too_few_networks_draw_no_line():
    covariate = [1.0, 1.6, 2.4], [1.5, 2.5]
    assert adjusted_difference(one_seed(1, 2, 4), one_seed(1, 3), covariate) is None
    covariate[1].append(2.0)
    assert adjusted_difference(one_seed(1, 2, 4), one_seed(1, 3, 5), covariate) is not None


def test_one_seed_leaves_only_the_general_answer():
    found = adjusted_difference(one_seed(1, 2, 4), one_seed(1, 3, 7), ([1.0, 1.6, 2.4], [1.5, 2.5, 2.0]))
    assert found.these_networks is None and found.architectures is not None
