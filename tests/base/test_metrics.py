"""Metrics against explicit sums; none accepts what is not finite."""

from __future__ import annotations

import math

import pytest
import torch

from autovul.base import metrics


@pytest.fixture
def logits():
    return torch.randn(20, 6, generator=torch.Generator().manual_seed(0)) * 4


def test_accuracy_counts(logits):
    labels = torch.arange(20) % 6
    for top in (1, 2, 6):
        right = sum(
            int(label) in sorted(range(6), key=lambda c: -row[c])[:top]
            for row, label in zip(logits.tolist(), labels, strict=True)
        )
        assert metrics.accuracy(logits, labels, top) == pytest.approx(100 * right / 20)


def test_cross_entropy_is_the_explicit_sum(logits):
    other = logits.flip(0) * 0.5

    def softmax(row):
        powers = [math.exp(value) for value in row]
        return [power / sum(powers) for power in powers]

    expected = [
        -sum(p * math.log(q) for p, q in zip(softmax(a), softmax(b), strict=True))
        for a, b in zip(logits.tolist(), other.tolist(), strict=True)
    ]
    assert metrics.cross_entropy(logits, other) == pytest.approx(sum(expected) / 20, rel=1e-6)


def test_cross_entropy_of_extreme_logits_is_finite():
    p, q = torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1000.0]])
    assert metrics.cross_entropy(p, q) == pytest.approx(1000)


def test_agreement(logits):
    other = logits.clone()
    other[:5] = -other[:5]
    same = (logits.argmax(1) == other.argmax(1)).double().mean().item()
    assert metrics.agreement(logits, other) == pytest.approx(100 * same)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_network_has_no_rate(bad, logits):
    broken = logits.clone()
    broken[3, 2] = bad
    for measure in (
        lambda: metrics.accuracy(broken, torch.zeros(20, dtype=torch.int64)),
        lambda: metrics.cross_entropy(logits, broken),
        lambda: metrics.cross_entropy(broken, logits),
        lambda: metrics.agreement(logits, broken),
    ):
        with pytest.raises(metrics.NonFiniteOutput, match="1 of 20"):
            measure()


def test_wrong_arguments(logits):
    with pytest.raises(ValueError, match="top must be from 1 to 6, got 7"):
        metrics.accuracy(logits, torch.zeros(20, dtype=torch.int64), 7)
    labels = torch.zeros(20, dtype=torch.int64)
    for measure in (
        lambda: metrics.cross_entropy(logits, logits[:, :3]),
        lambda: metrics.agreement(logits, logits[:, :3]),
        lambda: metrics.agreement(logits, logits[:1]),
        lambda: metrics.agreement(logits[:0], logits[:0]),
        lambda: metrics.accuracy(logits, labels[:1]),
        lambda: metrics.accuracy(logits, labels[:, None]),
        lambda: metrics.accuracy(logits[:0], labels[:0]),
    ):
        with pytest.raises(ValueError, match="N of at least 1"):
            measure()
