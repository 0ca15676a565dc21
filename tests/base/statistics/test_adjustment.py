"""The difference with a covariate held equal: least squares, its interval's twin, and its coverage."""

import numpy as np
import pytest
from scipy import stats

from autovul.base.statistics import adjusted_difference, separable, welch_interval

ROUNDS = 1000
TOLERANCE = 0.028  # four standard errors of a coverage of 95 % over 1,000 rounds


def study(rng, seeds, slope=3.0, gap=10.0, between=4.0, chance=1.0):
    """Ten and seven networks whose figure falls with a covariate that the two groups have unlike amounts of."""
    covariate = rng.normal(1, 1, 10), rng.normal(0, 1, 7)
    first = [70 + gap + slope * x + rng.normal(0, between) + rng.normal(0, chance, seeds) for x in covariate[0]]
    second = [70 + slope * x + rng.normal(0, between) + rng.normal(0, chance, seeds) for x in covariate[1]]
    return [dict(enumerate(v)) for v in first], [dict(enumerate(v)) for v in second], tuple(map(list, covariate))


def test_adjusted_difference_is_least_squares_and_its_interval_one_network_left_out_at_a_time():
    first, second, covariate = study(np.random.default_rng(1), 3)
    found = adjusted_difference(first, second, covariate)
    y = np.array([np.mean([*v.values()]) for v in first + second])
    design = np.column_stack([np.ones(17), [1] * 10 + [0] * 7, np.concatenate(covariate)])
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    assert found.estimate == pytest.approx(solution[1])
    # What leaving a network out does to b, times the root of 1 - its leverage, is its term of the variance.
    terms, weights = [], np.linalg.pinv(design)[1]
    leverage = np.diag(design @ np.linalg.pinv(design))
    for row in range(17):
        others, *_ = np.linalg.lstsq(np.delete(design, row, 0), np.delete(y, row), rcond=None)
        terms.append((solution[1] - others[1]) * np.sqrt(1 - leverage[row]))
    residuals = np.eye(17) - design @ np.linalg.pinv(design)
    products = np.array([[a * b for a in weights / np.sqrt(1 - leverage)] for b in weights / np.sqrt(1 - leverage)])
    products *= residuals
    freedom = np.trace(products) ** 2 / np.square(products).sum()
    assert found.architectures.margin == pytest.approx(stats.t.ppf(0.975, freedom) * np.linalg.norm(terms))


def test_a_higher_level_is_wider_in_both_answers():
    data = study(np.random.default_rng(2), 3)
    low, high = adjusted_difference(*data, level=0.8), adjusted_difference(*data, level=0.99)
    assert high.these_networks.margin > low.these_networks.margin
    assert high.architectures.margin > 2 * low.architectures.margin


def test_with_a_covariate_that_says_nothing_it_is_nearly_welchs():
    rng = np.random.default_rng(4)
    x = [*map(float, range(-30, 31))], [*map(float, range(-20, 21))]  # the same mean: the line takes nothing
    first, second = rng.normal(5, 1, 61), rng.normal(0, 6, 41)
    found = adjusted_difference(*([{1: v} for v in values] for values in (first, second)), x).architectures
    welch = welch_interval([*first], [*second])
    assert found.estimate == pytest.approx(welch.estimate) and found.margin == pytest.approx(welch.margin, rel=0.03)


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


def rows(rng, *, networks=(10, 7), between=(4.0, 4.0), sizes=(1, 1), slope=3.0, gap=10.0):
    """Networks in several sizes each: the larger has more of the covariate; how far off the line, they share."""
    found = [], [], ([], []), ([], [])
    for side in (0, 1):
        for name in range(networks[side]):
            off, start = rng.normal(0, between[side]), rng.normal(1 - side, 1)
            for size in range(sizes[side]):
                x = start + size * rng.uniform(0.7, 1.3)
                y = gap * (1 - side) + slope * x + off + rng.normal(0, 1)
                found[side].append({1: y})
                found[2][side].append(x)
                found[3][side].append(name)
    return found


@pytest.mark.parametrize(
    "design",
    [
        {"between": (1.0, 8.0)},
        {"between": (8.0, 1.0)},
        {"sizes": (2, 2)},
        {"sizes": (1, 3)},
        {"networks": (5, 5), "sizes": (1, 4)},
        {"networks": (9, 5), "sizes": (2, 2), "between": (2.0, 4.0)},
        {"networks": (3, 4), "sizes": (3, 2)},
    ],
    ids=str,
)
def test_unlike_spread_and_networks_in_several_sizes_are_covered(design):
    rng = np.random.default_rng(11)
    hits = rounds = 0
    while rounds < ROUNDS:
        if (found := adjusted_difference(*rows(rng, **design))) is None:
            continue
        rounds += 1
        hits += found.architectures.low <= 10 <= found.architectures.high
    assert hits / ROUNDS == pytest.approx(0.95, abs=TOLERANCE)


def test_each_network_counts_once_and_variants_do_not_make_networks():
    rng = np.random.default_rng(6)
    first, second, covariate, _ = rows(rng)
    once = adjusted_difference(first, second, covariate)
    again = [*second, *[second[0]] * 20]
    x = covariate[0], [*covariate[1], *[covariate[1][0]] * 20]
    found = adjusted_difference(first, again, x, (range(10), [*range(7), *[0] * 20]))
    assert found.estimate == pytest.approx(once.estimate) and found.networks == once.networks == (10, 7)
    assert found.architectures.margin == pytest.approx(once.architectures.margin, rel=0.2)
    alone = adjusted_difference(first, again, x)
    assert alone.networks == (10, 27) and alone.estimate != pytest.approx(once.estimate)


@pytest.mark.parametrize(
    "values", [lambda x, first: 42.3, lambda x, first: 99.7 if first else 42.3, lambda x, first: 7 * x]
)
def test_what_does_not_vary_about_the_lines_has_an_interval_without_width(values):
    """Rounding alone must not make a verdict."""
    rng = np.random.default_rng(9)
    for _ in range(200):
        x = rng.normal(3, 1, rng.integers(3, 9)).tolist(), rng.normal(3, 1, rng.integers(3, 9)).tolist()
        sides = [[{1: values(v, first)} for v in side] for side, first in zip(x, (True, False), strict=True)]
        if (found := adjusted_difference(*sides, x)) is not None:
            assert found.architectures.margin == 0


def test_a_row_that_draws_the_line_alone_leaves_the_others_their_variance():
    """Only one network differs in x: its residual is 0 and says nothing; of the rest it is Welch's difference."""
    first, second = one_seed(1, 2, 4, 50), one_seed(1, 3, 7, 2)
    found = adjusted_difference(first, second, ([1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 1.0, 1.0]))
    rest = welch_interval([1, 2, 4], [1, 3, 7, 2])
    assert found.estimate == pytest.approx(rest.estimate)
    variance = sum(np.var(values, ddof=1) / len(values) for values in ([1, 2, 4], [1, 3, 7, 2]))
    widths = [found.architectures.margin / np.sqrt(variance), rest.margin / np.sqrt(variance)]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)


def test_two_variants_of_one_network_are_not_two_networks_alike():
    names = ["a", "b", "c"], ["d", "d", "e"]
    assert separable([1, 2, 3], [1.5, 2.5, 9]) and not separable([1, 2, 3], [1.5, 2.5, 9], names)
    assert separable([1, 2, 3], [1.5, 2.5, 9], (["a", "b", "c"], ["d", "e", "e"]))
    values, x = one_seed(1, 2, 4), ([1.0, 1.6, 2.4], [1.5, 2.5, 2.0])
    assert adjusted_difference(values, values, x, (["a", "b", "c"], ["d", "e", "e"])) is None, "five networks"


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
