"""How much of the spread is the networks' own: a published example, and how often the interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from autovul.base.statistics import share_between_networks

# Six targets, four judges each: table 2 of Shrout and Fleiss (1979), who give ICC(1, 1) = 0.17.
RATINGS = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]


def by_seed(rows):
    return [dict(enumerate(map(float, row))) for row in rows]


def test_the_published_example():
    found = share_between_networks([by_seed(RATINGS)])
    assert found.estimate == pytest.approx(0.166, abs=5e-4)
    assert found.high == pytest.approx(0.723, abs=5e-4), "as R's psych::ICC gives it"
    assert found.low == 0.0, "there: -0.133"


def test_a_difference_of_the_groups_is_not_the_networks():
    near, far = by_seed(RATINGS), by_seed([[value + 100 for value in row] for row in RATINGS])
    both, one = share_between_networks([near, far]), share_between_networks([near, near])
    assert both.estimate == pytest.approx(one.estimate) and both.high == pytest.approx(one.high)


def draw(rng, share, seeds):
    """Two groups, of unlike level, whose networks differ by a share of the variance."""
    place = iter(seeds)
    groups = []
    for level, size in ((0.0, 10), (5.0, 7)):
        means = level + np.sqrt(share) * rng.standard_normal(size)
        chance = (np.sqrt(1 - share) * rng.standard_normal(next(place)) for _ in means)
        groups.append([dict(enumerate(mean + off)) for mean, off in zip(means, chance, strict=True)])
    return groups


@pytest.mark.parametrize("seeds", [[3] * 17, [2] * 17, [2, 3, 4, 5, 5, 2, 3, 4, 2, 5, 3, 2, 4, 5, 2, 3, 4]])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_interval_covers_the_truth(share, seeds):
    rng = np.random.default_rng(1)
    found = [share_between_networks(draw(rng, share, seeds)) for _ in range(1000)]
    covered = sum(each.low <= share <= each.high for each in found) / len(found)
    # Its ends are kept within 0 and 1, so that a share of 0 is missed on one side only.
    expected = 0.975 if share == 0 else 0.95
    assert abs(covered - expected) < 0.022, covered
    assert all(0 <= each.low <= each.estimate <= each.high <= 1 for each in found)


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [[], []],
        [by_seed([(1, 2)])],
        [by_seed([(1, 2)]), by_seed([(3, 4)])],
        [by_seed([(1,), (2,)])],
        [by_seed([(1, 1), (2, 2)])],
    ],
)
def test_where_nothing_can_be_said(groups):
    assert share_between_networks(groups) is None


def test_networks_that_are_all_alike_and_some_with_one_seed():
    assert share_between_networks([by_seed([(1, 3), (3, 1), (2, 2)])]).estimate == 0.0
    some = share_between_networks([by_seed([(1.0, 1.1), (5.0,), (9.0, 9.1)])])
    assert some.estimate > 0.99
