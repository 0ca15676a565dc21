"""ROC curves: area, interval, and the rate at few false positives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autovul.base import metrics
from autovul.base.metrics import auc, auc_interval, roc, tpr_at_fpr


def scores(members, others, levels=0, seed=0, shift=0.5):
    """Two lists of scores; with ``levels`` many of them are equal."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(n, generator=generator) + s for n, s in ((members, shift), (others, 0.0))]
    return [(side * levels).round() if levels else side for side in drawn]


def pairs(positive, negative):
    """The area by counting: each pair counts 1, ½ or 0."""
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive.tolist() for n in negative.tolist()]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("members,others", [(1, 1), (7, 3), (40, 60)])
@pytest.mark.parametrize("levels", [0, 1, 3])
def test_the_area_counts_pairs(members, others, levels):
    positive, negative = scores(members, others, levels)
    assert auc(positive, negative) == pytest.approx(pairs(positive, negative))


def test_the_area_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    positive, negative = scores(50, 70, levels=2)
    truth = [1] * 50 + [0] * 70
    assert auc(positive, negative) == pytest.approx(roc_auc_score(truth, torch.cat([positive, negative]).numpy()))


def test_sides_exchanged_mirror_the_area():
    positive, negative = scores(30, 40, levels=2)
    assert auc(positive, negative) + auc(negative, positive) == pytest.approx(1)
    assert auc(torch.ones(5), torch.ones(8)) == 0.5


def test_the_curve_encloses_the_area():
    from sklearn.metrics import roc_curve

    positive, negative = scores(30, 40, levels=3)
    false, true = roc(positive, negative)
    assert torch.trapezoid(true, false).item() == pytest.approx(auc(positive, negative))
    truth = [1] * 30 + [0] * 40
    expected = roc_curve(truth, torch.cat([positive, negative]).numpy(), drop_intermediate=False)
    assert false.tolist() == pytest.approx(expected[0].tolist())
    assert true.tolist() == pytest.approx(expected[1].tolist())


def test_the_interval_covers_the_true_area():
    # For normal scores with unit variance, a shift of s gives an area of Φ(s / √2).
    truth = 0.5 * (1 + math.erf(0.8 / 2))
    covered = 0
    for seed in range(150):
        low, high = auc_interval(*scores(40, 40, seed=seed, shift=0.8), draws=200, seed=seed)
        covered += low <= truth <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_the_interval_narrows_and_is_repeatable():
    few, many = (auc_interval(*scores(n, n)) for n in (50, 800))
    assert few[1] - few[0] > 2.5 * (many[1] - many[0])
    assert auc_interval(*scores(50, 50)) == few
    assert few[0] < auc(*scores(50, 50)) < few[1]


@pytest.mark.parametrize(("others", "at_one_time"), [(2**19, 2), (2**20 + 1, 1)])
def test_as_many_draws_are_in_memory_as_fit_and_all_of_them_count(others, at_one_time, monkeypatch):
    sizes, found, areas = [], [], metrics._areas

    def seen(positive, negative):
        sizes.append(len(negative))
        found.extend((drawn := areas(positive, negative)).tolist())
        return drawn

    monkeypatch.setattr(metrics, "_areas", seen)
    interval = auc_interval(*scores(5, others), draws=at_one_time + 1)
    assert max(sizes) == at_one_time and sum(sizes) == at_one_time + 1
    assert interval == pytest.approx(np.quantile(found, [0.025, 0.975]))


@pytest.mark.parametrize(("others", "fpr"), [(100, 0.01), (150, 0.01), (399, 0.01), (100, 0.29)])
@pytest.mark.parametrize("levels", [0, 2])
def test_the_rate_at_few_false_positives(others, fpr, levels):
    positive, negative = scores(300, others, levels, shift=1.5)
    best = 0.0
    for threshold in torch.cat([positive, negative]).tolist():
        if (negative > threshold).double().mean() <= fpr:
            best = max(best, (positive > threshold).double().mean().item())
    # 100 · 0.29 is a little less than 29 in floating point, and 29 of 100 may yet be above.
    assert tpr_at_fpr(positive, negative, fpr) == pytest.approx(100 * best)


def test_too_few_negatives_resolve_no_such_rate():
    assert tpr_at_fpr(*scores(300, 99)) is None
    assert tpr_at_fpr(*scores(300, 10), fpr=0.1) is not None


@pytest.mark.parametrize("function", [auc, auc_interval, roc, tpr_at_fpr])
def test_what_is_no_list_of_scores_is_refused(function):
    with pytest.raises(ValueError, match="positive must be a list of at least one score"):
        function(torch.empty(0), torch.ones(3))
    with pytest.raises(ValueError, match="negative scores must be finite"):
        function(torch.ones(3), torch.tensor([1.0, torch.nan]))
