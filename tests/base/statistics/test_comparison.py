"""Intervals against their known coverage and SciPy's own, the permutation test against a slow twin."""

import itertools

import numpy as np
import pytest
from scipy import stats

from autovul.base.statistics import (
    Interval,
    compare_groups,
    fixed_networks_interval,
    mean_interval,
    permutation_test,
    verdict,
    welch_interval,
    wilson_interval,
)
from autovul.base.statistics.intervals import variance_by_seed

ROUNDS = 1000
# The coverage of a right 95 % interval over 1,000 rounds has a standard error of 0.69 points: ±2.8 points is 4 of them.
TOLERANCE = 0.028


def test_in_general_the_wider_interval_and_the_test_decide():
    narrow = [{0: 10.0, 1: 10.2}, {0: 10.1, 1: 9.9}], [{0: 8.0, 1: 8.2}, {0: 8.1, 1: 7.9}]
    found = compare_groups(*narrow)
    assert found.judged(1.0, None, in_general=False).direction == "holds"
    assert found.architectures.low > 0 and found.permutation.p_value == pytest.approx(1 / 3), "of six divisions two"
    assert found.judged(1.0, None, in_general=True).direction == "undecided"
    many = [[{0: high + 0.1 * k, 1: high + 0.1 * k + 0.02} for k in range(6)] for high in (10.0, 9.0)]
    found = compare_groups(*many)
    assert found.judged(1.0, None, in_general=True).direction == "holds"
    assert found.judged(-1.0, None, in_general=True).direction == "fails"
    widths = {kind: found.interval(in_general=kind) for kind in (True, False)}
    assert widths[True] == max(found.architectures, found.these_networks, key=lambda each: each.high - each.low)
    assert widths[False] == found.these_networks != widths[True]
    once = compare_groups(*[[{0: values[0]} for values in side] for side in many])
    assert once.judged(1.0, None, in_general=False) is None
    assert once.judged(1.0, None, in_general=True).direction == "holds", "one seed suffices"


def covered(interval, truth):
    return interval.low <= truth <= interval.high


def coverage(make_interval, truth, rounds=ROUNDS):
    return np.mean([covered(make_interval(), truth) for _ in range(rounds)])


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_mean_interval_covers_for_few_seeds(seeds):
    rng = np.random.default_rng(seeds)
    assert coverage(lambda: mean_interval(rng.normal(95, 0.3, seeds)), 95) == pytest.approx(0.95, abs=TOLERANCE)


def test_welch_covers_for_ten_against_seven_networks_of_unlike_spread():
    rng = np.random.default_rng(2)
    rate = coverage(lambda: welch_interval(rng.normal(84, 9, 10), rng.normal(74, 4, 7)), 10)
    assert rate == pytest.approx(0.95, abs=TOLERANCE)


def by_seed(*networks):
    """Each network's values with the seeds 0, 1, 2, …"""
    return [dict(enumerate(values)) for values in networks]


def seeds_of_networks(rng, centres, spread, seeds=3):
    return by_seed(*(rng.normal(centre, spread, seeds) for centre in centres))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_fixed_networks_interval_covers_though_networks_differ_far_more_than_seeds(seeds):
    rng = np.random.default_rng(3 + seeds)
    nas, manual = rng.normal(84, 9, 10), rng.normal(74, 9, 7)
    truth = nas.mean() - manual.mean()

    def interval():
        return fixed_networks_interval(seeds_of_networks(rng, nas, 2, seeds), seeds_of_networks(rng, manual, 1, seeds))

    # The wider of two intervals, each of which covers: it covers more than 95 %, nearly always with two seeds.
    assert coverage(interval, truth) > 0.95 - TOLERANCE


@pytest.mark.parametrize("correlation", [0.1, 0.4])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_fixed_networks_interval_covers_where_a_seed_moves_the_networks_of_one_group_together(seeds, correlation):
    rng = np.random.default_rng(9)
    own, shared = np.sqrt(1 - correlation), np.sqrt(correlation)

    def interval():
        together = rng.normal(0, shared, seeds)
        return fixed_networks_interval(
            by_seed(*(rng.normal(0, own, seeds) + together for _ in range(10))),
            by_seed(*(rng.normal(0, 1, seeds) for _ in range(7))),
        )

    assert coverage(interval, 0, 800) > 0.95 - 0.03  # four standard errors


@pytest.mark.parametrize("seeds", [3, 5])
def test_fixed_networks_interval_covers_where_one_network_varies_far_more_than_the_others(seeds):
    rng = np.random.default_rng(10)

    def group(size):
        return by_seed(*(rng.normal(0, 15 if index == 0 else 1, seeds) for index in range(size)))

    assert coverage(lambda: fixed_networks_interval(group(10), group(7)), 0, 800) > 0.95 - 0.03


@pytest.mark.parametrize("counts", [(3, 1, 1, 1, 1, 1, 1), (5, 5, 1, 1, 1, 1, 1), (2, 2, 2, 2, 1, 1, 1)])
def test_fixed_networks_interval_covers_where_few_networks_were_repeated_and_seeds_move_them_together(counts):
    rng = np.random.default_rng(12)

    def group():
        together = rng.normal(0, np.sqrt(0.6), 5)
        return by_seed(*(rng.normal(0, np.sqrt(0.4), count) + together[:count] for count in counts))

    assert coverage(lambda: fixed_networks_interval(group(), group()), 0, 800) > 0.95 - 0.03


@pytest.mark.parametrize("correlation", [0.4, 0.8])
@pytest.mark.parametrize(("of", "there"), [(2, 3), (2, 5), (3, 5)])
def test_fixed_networks_interval_covers_where_networks_have_different_seeds(of, there, correlation):
    rng = np.random.default_rng(13)

    def group(size):
        together = rng.normal(0, np.sqrt(correlation), there)
        seeds = (rng.choice(there, of, replace=False) for _ in range(size))
        return [{int(s): together[s] + rng.normal(0, np.sqrt(1 - correlation)) for s in own} for own in seeds]

    assert coverage(lambda: fixed_networks_interval(group(10), group(7)), 0, 500) > 0.95 - 0.02


@pytest.mark.parametrize(
    ("seeds", "weights"),
    [(([0, 1], [0, 1], [0]), (1.0, -0.99, 0.2)), (([0, 1, 2], [0, 1, 2], [3]), (0.5, -0.45, 0.2))],
)
def test_weights_of_both_signs_that_cancel_make_no_variance_out_of_nothing(seeds, weights):
    """A regression has such weights; here all runs are independent, with the variance 1."""
    rng = np.random.default_rng(14)
    truth = sum(weight**2 / len(own) for own, weight in zip(seeds, weights, strict=True))
    draws = [variance_by_seed([{s: rng.normal() for s in own} for own in seeds], weights)[0] for _ in range(400)]
    assert 0.7 * truth < np.mean(draws) < 1.6 * truth


def test_where_seeds_move_all_networks_together_the_interval_is_welchs_over_the_seeds_means():
    rng = np.random.default_rng(11)
    groups = [[rng.normal(0, 5, 4) + rng.normal(0, 0.01, 4) for _ in range(1)] * size for size in (10, 7)]
    found = fixed_networks_interval(*(by_seed(*group) for group in groups))
    expected = welch_interval(*(np.mean(group, axis=0) for group in groups))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_runs_of_a_seed_are_known_by_the_seed_and_not_by_their_place():
    together = {1: -3.0, 2: 0.0, 3: 3.0}
    group = [{seed: index + part for seed, part in together.items()} for index in range(6)]
    turned = [dict(reversed(values.items())) if index % 2 else values for index, values in enumerate(group)]
    assert fixed_networks_interval(turned, turned) == fixed_networks_interval(group, group)
    lacking = [{seed: value for seed, value in values.items() if seed != 1 + index % 3}
               for index, values in enumerate(group)]  # fmt: skip
    apart = fixed_networks_interval([{seed + 10 * i: v for seed, v in n.items()} for i, n in enumerate(group)], lacking)
    assert apart.margin < fixed_networks_interval(group, lacking).margin, "with seeds of their own nothing is shared"


def test_fixed_networks_interval_covers_with_unlike_numbers_of_seeds():
    rng = np.random.default_rng(4)

    def group(size):
        return by_seed(*(rng.normal(50, 1, 1 + index % 3) for index in range(size)))

    assert coverage(lambda: fixed_networks_interval(group(10), group(7)), 0) > 0.95 - TOLERANCE


def test_the_interval_for_architectures_covers_where_the_one_for_these_networks_does_not():
    """The two questions differ: the first interval is far too narrow for the second question."""
    rng = np.random.default_rng(5)
    general, fixed = 0, 0
    for _ in range(ROUNDS):
        nas = seeds_of_networks(rng, rng.normal(84, 6, 10), 1)
        manual = seeds_of_networks(rng, rng.normal(74, 6, 7), 1)
        general += covered(welch_interval(*([np.mean([*n.values()]) for n in side] for side in (nas, manual))), 10)
        fixed += covered(fixed_networks_interval(nas, manual), 10)
    assert general / ROUNDS == pytest.approx(0.95, abs=TOLERANCE)
    assert fixed / ROUNDS < 0.4


def test_a_part_shared_by_all_runs_of_a_seed_makes_the_fixed_networks_interval_too_wide_never_too_narrow():
    rng = np.random.default_rng(6)

    def interval():
        shared = rng.normal(0, 2, 3)
        groups = [by_seed(*(rng.normal(50, 1, 3) + shared for _ in range(size))) for size in (10, 7)]
        return fixed_networks_interval(*groups)

    assert coverage(interval, 0) > 0.97


@pytest.mark.parametrize("trials", [50, 1000])
@pytest.mark.parametrize("rate", [0.02, 0.5, 0.97])
def test_wilson_covers(trials, rate):
    # Exactly, by summing the binomial: Wilson's coverage swings around 95 %, most near the ends (Brown et al. 2001).
    successes = np.arange(trials + 1)
    hit = [covered(wilson_interval(int(k), trials), rate) for k in successes]
    assert stats.binom.pmf(successes, trials, rate)[hit].sum() == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (931, 1000)])
def test_wilson_agrees_with_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    interval = wilson_interval(successes, trials)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_student_and_welch_agree_with_scipy():
    first, second = [84.1, 79.5, 90.2, 77.7], [70.3, 75.1, 72.2]
    expected = stats.ttest_1samp(first, 0).confidence_interval(0.9)
    interval = mean_interval(first, level=0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    interval = welch_interval(first, second)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_with_one_network_each_the_fixed_networks_interval_is_welchs_over_seeds():
    first, second = [84.1, 79.5, 90.2], [70.3, 75.1, 72.2, 71.0]
    found, expected = fixed_networks_interval(by_seed(first), by_seed(second)), welch_interval(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def slow_permutation(first, second):
    values, size = list(first) + list(second), len(first)
    observed = abs(stats.ttest_ind(first, second, equal_var=False).statistic)
    hits = []
    for chosen in itertools.combinations(range(len(values)), size):
        rest = [values[i] for i in range(len(values)) if i not in chosen]
        t = stats.ttest_ind([values[i] for i in chosen], rest, equal_var=False).statistic
        hits.append(abs(t) >= observed - 1e-9)
    return np.mean(hits)


def test_permutation_test_agrees_with_its_slow_twin():
    first, second = [84.1, 79.5, 90.2, 77.7, 81.0], [70.3, 85.1, 72.2]
    found = permutation_test(first, second)
    assert (found.exact, found.divisions) == (True, 56)
    assert found.p_value == pytest.approx(slow_permutation(first, second))


def test_permutation_test_of_seventeen_networks_is_exact_and_finds_the_extreme():
    found = permutation_test(range(10, 20), range(7))
    assert found.exact
    assert found.p_value == pytest.approx(1 / 19448)


@pytest.mark.parametrize("spreads", [(6, 6), (6, 2), (2, 6), (1, 15)])
def test_permutation_test_errs_in_one_of_twenty_studies_without_a_difference(spreads):
    rng = np.random.default_rng(8)
    rounds = 400
    studies = ([rng.normal(80, s, n) for s, n in zip(spreads, (10, 7), strict=True)] for _ in range(rounds))
    errors = sum(permutation_test(*study).p_value <= 0.05 for study in studies)
    assert stats.binomtest(errors, rounds, 0.05).pvalue > 0.001


def test_random_divisions_agree_with_the_exact_test():
    rng = np.random.default_rng(7)
    first, second = rng.normal(1.0, 1, 14), rng.normal(0, 1, 12)  # 9.7 million divisions
    found = permutation_test(first, second)
    expected = stats.permutation_test(
        (first, second),
        lambda a, b, axis: stats.ttest_ind(a, b, equal_var=False, axis=axis).statistic,
        n_resamples=20_000,
        random_state=rng,
        vectorized=True,
    )
    assert not found.exact
    # Two Monte-Carlo figures of p near 0.03 over 20,000 draws each differ by 0.0017 (one standard error).
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.007)
    assert found == permutation_test(first, second), "the same seed gives the same draws"


def test_equal_values_give_p_one_and_an_interval_without_width():
    assert permutation_test([5.1, 5.1], [5.1, 5.1]).p_value == 1
    assert mean_interval([0.1, 0.1, 0.1]).margin == 0
    assert fixed_networks_interval(by_seed([3.0, 3.0]), by_seed([1.0, 1.0])) == Interval(2, 2, 2)


@pytest.mark.parametrize("value", [97.3, 100.0, 33.3, 0.1])
def test_networks_that_are_all_the_same_differ_in_nothing_whatever_their_number(value):
    for sizes in itertools.product(range(1, 11), repeat=2):
        groups = [by_seed(*[[value] * 3] * size) for size in sizes]
        assert fixed_networks_interval(*groups) == Interval(0, 0, 0)
        assert compare_groups(*groups).estimate == 0


def test_an_interval_without_width_decides_nothing():
    assert verdict(Interval(5, 5, 5), expected=10, tolerance=4) is None
    assert verdict(Interval(0, 0, 0), expected=10) is None


def test_what_cannot_be_estimated_is_none():
    difference = compare_groups(by_seed([84.0]), by_seed([74.0]))
    assert difference.estimate == 10
    assert (difference.these_networks, difference.architectures, difference.permutation) == (None, None, None)
    assert mean_interval([1.0]) is None
    assert compare_groups(by_seed([84.0], [85.0]), by_seed([74.0], [70.0])).these_networks is None
    assert compare_groups(by_seed([84.0, 85.0]), by_seed([74.0, 70.0])).architectures is None


def test_a_network_counts_once_however_many_seeds_it_has():
    difference = compare_groups(by_seed([10.0] * 9, [20.0]), by_seed([0.0, 0.0]))
    assert difference.estimate == 15
    assert difference.networks == (2, 1)


@pytest.mark.parametrize(
    ("low", "high", "direction", "size"),
    [
        (8, 12, "holds", "inside"),
        (6, 14, "holds", "inside"),
        (1, 5, "holds", "outside"),
        (15, 20, "holds", "outside"),
        (3, 8, "holds", "across"),
        (0, 20, "undecided", "across"),
        (-3, 3, "undecided", "outside"),
        (-9, -2, "fails", "outside"),
    ],
)
def test_verdict(low, high, direction, size):
    found = verdict(Interval((low + high) / 2, low, high), expected=10, tolerance=4)
    assert (found.direction, found.size) == (direction, size)
    mirrored = verdict(Interval(-(low + high) / 2, -high, -low), expected=-10, tolerance=4)
    assert mirrored == found, "a claim of the other sign is judged alike"


def test_verdict_without_a_band_or_without_a_direction():
    assert verdict(Interval(1, 0.5, 1.5), expected=0.5).size is None
    with pytest.raises(ValueError, match="expected"):
        verdict(Interval(1, 0.5, 1.5), expected=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson_interval(11, 10),
        lambda: wilson_interval(0, 0),
        lambda: mean_interval([1, 2], level=95),
        lambda: compare_groups([{1: 1.0}, {}], [{1: 1.0}]),
        lambda: compare_groups([], [{1: 1.0}]),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()
