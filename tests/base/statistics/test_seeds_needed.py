"""How many seeds are asked for: so many decide as often as promised, and one less does not."""

import numpy as np
import pytest

from autovul.base.statistics import fixed_networks_interval, seeds_needed

ROUNDS = 1000


def exactly(centre, spread, networks, seeds=3):
    """Networks whose sample means are ``centre`` and whose sample standard deviations are ``spread``.

    Neighbours go through the seeds in opposite order, so that a seed moves the networks together no more than chance
    does: the variance of a mean is the same by network and by seed.
    """
    pattern = np.arange(seeds) - (seeds - 1) / 2
    pattern = spread * pattern / pattern.std(ddof=1)
    ups = (networks + round(np.sqrt(networks))) // 2
    return [dict(enumerate(centre + (pattern if index < ups else -pattern))) for index in range(networks)]


def power(difference, spreads, seeds, rng):
    hits = 0
    for _ in range(ROUNDS):
        first = [dict(enumerate(rng.normal(difference, spreads[0], seeds))) for _ in range(10)]
        second = [dict(enumerate(rng.normal(0, spreads[1], seeds))) for _ in range(7)]
        hits += fixed_networks_interval(first, second).low > 0
    return hits / ROUNDS


@pytest.mark.parametrize(("difference", "spreads"), [(1.0, (2.0, 1.0)), (1.0, (1.5, 2.0)), (0.5, (0.4, 0.4))])
def test_so_many_seeds_decide_as_often_as_promised(difference, spreads):
    rng = np.random.default_rng(3)
    needed = seeds_needed(exactly(difference, spreads[0], 10), exactly(0, spreads[1], 7))
    # The rule leaves out a part of the noncentral t's tail: it promises four of five, and gives that to within 3 points
    # (the standard error of the count is 0.9). Whole seeds may give more than was asked for.
    assert power(difference, spreads, needed, rng) > 0.8 - 0.03
    if needed > 2:
        assert power(difference, spreads, needed - 1, rng) < 0.8 + 0.05


def test_a_seed_that_moves_all_networks_together_takes_more_seeds():
    together = {1: -1.0, 2: 0.0, 3: 1.0}
    moved = [{seed: level + part for seed, part in together.items()} for level in range(7)]
    apart = [{seed + 10 * level: value for seed, value in values.items()} for level, values in enumerate(moved)]
    lower = [{1: 1.0, 2: 1.01, 3: 0.99}]
    assert seeds_needed(moved, lower) > seeds_needed(apart, lower)


def test_more_seeds_for_a_smaller_difference_and_none_for_no_difference():
    needed = [seeds_needed(exactly(d, 2, 10), exactly(0, 2, 7)) for d in (20.0, 1.0, 0.7)]
    assert needed == sorted(needed) and needed[0] == 2 < needed[1]
    assert seeds_needed(exactly(0, 2, 10), exactly(0, 2, 7)) is None
    assert seeds_needed(exactly(1, 500, 10), exactly(0, 500, 7)) is None
    assert seeds_needed([{1: 1.0}], [{1: 0.0, 2: 1.0}]) is None, "one seed tells no variance"
    assert seeds_needed([{1: 3.0, 2: 3.0}], [{1: 1.0, 2: 1.0}]) == 2
