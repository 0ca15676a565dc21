from __future__ import annotations

import numpy as np
import pytest
import torch

from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.splits import (
    count_or_all,
    least_fraction,
    legacy_shuffle,
    per_class,
    seeded_fraction,
    stratified_split,
    subset_classes,
)


def test_shuffle_is_numpy_s_global_legacy_one_and_leaves_it_alone() -> None:
    state = np.random.get_state()
    found = legacy_shuffle(50, 1228).tolist()
    assert (np.random.get_state()[1] == state[1]).all()
    np.random.seed(1228)
    expected = [*range(50)]
    np.random.shuffle(expected)
    np.random.set_state(state)
    assert found == expected


def test_shuffle_is_fixed_for_good() -> None:
    # NumPy freezes its legacy generator: these numbers are the same in every version.
    assert legacy_shuffle(10, 1228).tolist() == [8, 1, 5, 6, 3, 4, 7, 0, 9, 2]
    assert seeded_fraction(10_000, 0.3)[:5].tolist() == [1360, 5548, 6340, 4099, 8481]


@pytest.mark.parametrize(
    ("size", "fraction", "count"),
    [(10_000, 0.3, 3000), (359, 0.3, 107), (100, 0.29, 29), (10, 0.0, 0), (10, 1.0, 10), (50_000, 0.01, 500)],
)
def test_fraction_takes_the_floor_in_decimal(size: int, fraction: float, count: int) -> None:
    assert seeded_fraction(size, fraction).tolist() == legacy_shuffle(size).tolist()[:count]


def test_fraction_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fraction must be in 0 … 1, got 1\.5"):
        seeded_fraction(10, 1.5)


def test_stratified_split_parts_every_class_alike_and_loses_nothing() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2)[legacy_shuffle(72, 1)]
    train, held_out = stratified_split(labels, 0.2, seed=5)
    assert sorted(train.tolist() + held_out.tolist()) == [*range(72)]
    assert torch.bincount(labels[held_out]).tolist() == [10, 4, 1]
    again, other = stratified_split(labels, 0.2, seed=5), stratified_split(labels, 0.2, seed=6)
    assert torch.equal(held_out, again[1])
    assert not torch.equal(held_out, other[1])


def test_stratified_split_refuses_a_class_of_one() -> None:
    with pytest.raises(ValueError, match="class 1 has 1 image"):
        stratified_split(torch.tensor([0, 0, 1]))


def test_subset_classes_is_the_obvious_filter() -> None:
    labels = torch.tensor([3, 0, 1, 3, 2, 0])
    assert subset_classes(labels, [0, 3]).tolist() == [0, 1, 3, 5]


def test_per_class_takes_the_first_of_each_in_seeded_order() -> None:
    labels = legacy_shuffle(60, 2) % 3
    expected = []
    for label in range(3):
        members = [i for i in legacy_shuffle(60, 9).tolist() if labels[i] == label]
        expected += members[:4]
    assert per_class(labels, 4, seed=9).tolist() == expected


def test_per_class_names_the_counts_or_takes_all() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    with pytest.raises(ValueError, match="2 images of class 1 asked for, 1 there"):
        per_class(labels, 2)
    assert sorted(per_class(labels, 2, exact=False).tolist())[-1] == 3
    assert len(per_class(labels, 2, exact=False)) == 3


def test_count_or_all() -> None:
    assert count_or_all(3, 5, exact=True) == 3
    assert count_or_all(5, 3, exact=False) == 3
    with pytest.raises(ValueError, match="5 images asked for, 3 there"):
        count_or_all(5, 3, exact=True)
    with pytest.raises(ValueError, match="there are no images"):  # nobody asked for 5
        count_or_all(5, 0, exact=False)
    with pytest.raises(ValueError, match="at least 1 must be asked for"):
        count_or_all(0, 5, exact=False)


def test_attack_split_is_the_head_of_the_shuffled_validation_split(digits: ImageDataset) -> None:
    chosen = legacy_shuffle(len(digits.valid), 1228)[:107]
    assert torch.equal(digits.attack_split().images, digits.valid.images[chosen])
    assert torch.equal(digits.attack_split().labels, digits.valid.labels[chosen])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 300, 3000, 12000, 45000, 50000, 1281167])
def test_the_least_fraction_takes_one_and_is_short(count):
    least = float(f"{least_fraction(count):.2g}")
    assert len(seeded_fraction(count, least)) >= 1
    assert least < 1.11 / count
