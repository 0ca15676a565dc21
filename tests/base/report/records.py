"""Made-up records for the report's tests."""

from __future__ import annotations

import random
from typing import Any

from autovul.base.result import Metric, Result

MANUAL = (
    *("bit-m-r50x1_comp", "densenet121_comp", "dla34_comp", "resnet18_comp"),
    *("resnext50_32x4d_comp", "vgg13_bn_comp", "wide_resnet50_2_comp"),
)
NAS = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "random", "sgas", "snas_mild")
MITIGATED = ("diy_deep", "diy_deep_noskip", "diy_noskip")


def make(model: str = "darts", group: str = "nas", seed: int = 1228, value: float = 84.0, **changes: Any) -> Result:
    """One record of an attack, with a main metric of ``value`` percent of 1,000 images."""
    record = Result(
        experiment="adv_attack",
        algorithm="pgd",
        dataset="cifar10",
        model=model if seed == 1228 else f"{model}_s{seed}",
        group=group,
        seed=seed,
        metrics={
            "success_rate": Metric(value, "%", 1000),
            "targeted_success_rate": Metric(min(100.0, value + 6), "%", 1000),
            "misclassification_rate": Metric(min(100.0, value + 9), "%", 1000),
            "clean_accuracy": Metric(95.5, "%", 3000),
            "mean_iterations": Metric(14 - value / 12, "", 1000),
            "target_confidence_after": Metric(0.83, "", 1000),
        },
        options={"seed": seed, "pgd_eps": 8 / 255, "iteration": 7, "grad_method": "white", "target_class": None},
        counts={"forward": 8000, "backward": 7000},
        seconds={"attack": 41.2},
        peak_memory=2 * 2**30,
        data_sha256="d0" * 32,
        weights_sha256=f"{abs(hash((model, seed))):064x}",
        facts={"parameters": 3_349_342, "multiply_adds": 528_000_000, "depth": 61, "skips": 14},
        environment={
            "code_version": "1.0+abcd1234",
            "python": "3.11.2",
            "libraries": {"torch": "2.6.0", "numpy": "2.1.0"},
            "device": "cpu",
            "created": "2025-01-01T00:00:00Z",
        },
    )
    return record.replace(**changes)


def training(model: str, group: str, seed: int, value: float, epochs: int = 60, **changes: Any) -> Result:
    """One record of a training, with learning curves."""

    def at(epoch: int, end: float) -> float:
        return end - (end - 12) * 0.93**epoch

    series = tuple(
        {
            "epoch": epoch,
            "lr": 0.025,
            "train_loss": 2.3 * 0.95**epoch,
            "train_accuracy": at(epoch, value + 3) if epoch else None,
            "valid_accuracy": at(epoch, value) if epoch % 10 == 0 else None,
        }
        for epoch in range(epochs + 1)
    )
    metrics = {
        "valid_accuracy": Metric(value, "%", 10_000),
        "best_valid_accuracy": Metric(value + 0.1, "%", 10_000),
        "train_accuracy": Metric(min(100.0, value + 3), "%", 50_000),
        "valid_loss": Metric(0.12, "nats", 10_000),
        "images_per_second": Metric(2210.0, "images/s"),
    }
    options = {"seed": seed, "epoch": epochs, "lr": 0.025, "grad_clip": 5.0}
    settings = {"experiment": "train", "algorithm": "", "series": series, "metrics": metrics, "options": options}
    return make(model, group, seed, **{**settings, **changes})


def study(seeds: int = 3) -> list[Result]:
    """Trainings and attacks of all twenty networks, the searched ones some ten points easier to attack."""
    chance = random.Random(1)
    found = []
    for group, models, level in (("manual", MANUAL, 73.0), ("nas", NAS, 83.0), ("mitigated", MITIGATED, 79.0)):
        for model in models:
            own, accuracy = chance.gauss(level, 5), chance.gauss(96.3, 0.5)
            for seed in range(1228, 1228 + seeds):
                found.append(training(model, group, seed, round(chance.gauss(accuracy, 0.12), 2)))
                found.append(make(model, group, seed, round(min(100.0, chance.gauss(own, 1.2)), 1)))
    return found
