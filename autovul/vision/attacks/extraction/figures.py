"""How like its victim a stolen network is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autovul.base.metrics import accuracy, agreement, cross_entropy
from autovul.base.result import Metric
from autovul.vision.attacks.victim import Victim
from autovul.vision.datasets import ImageSplit

UNITS = {"cross_entropy": "nats", "kl_divergence": "nats", "agreement": "%", "thief_accuracy": "%"}
CHUNK = 1024


def answers(victim: Victim, split: ImageSplit) -> Tensor:
    """Logits of a whole split, (N, classes), on the CPU.

    Raises:
        NonFiniteOutput: Some are NaN or infinite.
    """
    return torch.cat([victim.logits(split.pixels(index)).cpu() for index in torch.arange(len(split)).split(CHUNK)])


def compare(victim: Tensor, thief: Tensor, split: ImageSplit) -> dict[str, float]:
    """Cross entropy and divergence (nats), agreement and the thief's accuracy (percent), from both's logits."""
    entropy = cross_entropy(victim, thief)
    return {
        "cross_entropy": entropy,
        "kl_divergence": max(0.0, entropy - cross_entropy(victim, victim)),  # rounding can take it below
        "agreement": agreement(victim, thief),
        "thief_accuracy": accuracy(thief, split.labels),
    }


def means(rows: Sequence[Mapping[str, Any]], victim: Tensor, split: ImageSplit) -> dict[str, Metric]:
    """The metrics of a run: means over its budgets, those of each, the victim's accuracy, and the largest budget."""
    count = len(victim)
    metrics = {name: Metric(sum(row[name] for row in rows) / len(rows), unit, count) for name, unit in UNITS.items()}
    for row in rows if len(rows) > 1 else ():
        for name in ("cross_entropy", "agreement"):
            metrics[f"{name}_{row['budget']}_queries"] = Metric(row[name], UNITS[name], count)
    metrics["victim_accuracy"] = Metric(accuracy(victim, split.labels), "%", count)
    metrics["queries"] = Metric(max(row["budget"] for row in rows), "queries")
    return metrics
