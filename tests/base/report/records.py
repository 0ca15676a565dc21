"""Made-up records for the report's tests."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product
from typing import Any

from autovul.base.experiments import load_experiments
from autovul.base.result import Metric, Result

MANUAL = (
    *("bit-m-r50x1_comp", "densenet121_comp", "dla34_comp", "resnet18_comp"),
    *("resnext50_32x4d_comp", "vgg13_bn_comp", "wide_resnet50_2_comp"),
)
NAS = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "random", "sgas", "snas_mild")
MITIGATED = ("diy_deep", "diy_deep_noskip", "diy_noskip")
GENOTYPE = {
    "normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ["dil_conv_5x5", 1], ["max_pool_3x3", 2]],
    "normal_concat": [2, 3],
    "reduce": [["sep_conv_3x3", 0], ["skip_connect", 1], ["max_pool_3x3", 2], ["dil_conv_5x5", 1]],
    "reduce_concat": [3],
}


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


SAMPLED = tuple(f"sampled_{number}" for number in range(1, 9))
SEARCHED = ("darts", "drnas", "pc_darts", "pdarts", "sgas", "snas_mild")
MEMBERS = {
    "manual": MANUAL,
    "nas": NAS,
    "mitigated": MITIGATED,
    "sampled": SAMPLED,
    **{name: (name,) for name in SEARCHED},
}
LEVELS = {  # of a metric: its level for manual networks, what searched ones have more, and the spread between seeds
    "valid_accuracy": (96.3, 0.3, 0.12),
    "early_train_loss": (1.2, -0.1, 0.02),
    "success_rate": (73.0, 10.0, 1.2),
    "targeted_success_rate": (79.0, 9.0, 1.2),
    "median_distance": (4.0, -0.8, 0.1),
    "lower_quartile_distance": (2.0, -0.4, 0.1),
    "upper_quartile_distance": (8.0, -1.6, 0.2),
    "success_rate_all": (96.0, 1.9, 0.3),
    "accuracy_drop": (9.0, -4.6, 0.6),
    "accuracy_drop_10pct": (5.0, -2.6, 0.6),
    "accuracy_drop_20pct": (9.0, -4.6, 0.6),
    "accuracy_drop_40pct": (13.0, -6.6, 0.6),
    "clean_accuracy": (95.0, 0.3, 0.2),
    "cross_entropy": (1.1, -0.2, 0.05),
    "agreement": (70.0, 4.0, 0.6),
    "boundary_auc": (0.55, 0.005, 0.01),
    "boundary_auc_mirrored": (0.56, 0.03, 0.02),
    "log10_gradient_variance": (3.6, -2.1, 0.03),
    "center_loss": (0.1, 0.05, 0.01),
}
UNITS = {"cross_entropy": "nats", "center_loss": "nats", "early_train_loss": "nats"}
DISTANCES = ("median_distance", "lower_quartile_distance", "upper_quartile_distance")
OF_COMMAND = {
    "train": ("valid_accuracy", "early_train_loss"),
    "adv_attack": ("success_rate", "targeted_success_rate", "clean_accuracy"),
    "poison": ("accuracy_drop", "accuracy_drop_10pct", "accuracy_drop_20pct", "accuracy_drop_40pct"),
    "backdoor": ("success_rate", "success_rate_all", "clean_accuracy", "accuracy_drop"),
    "extraction": ("cross_entropy", "agreement"),
    "membership": ("boundary_auc", "boundary_auc_mirrored"),
    "grad_var": ("log10_gradient_variance",),
    "loss_contour": ("center_loss",),
}


def _unit(metric: str) -> str:
    named = "points" if metric.startswith("accuracy_drop") else "" if "auc" in metric or "log10" in metric else "%"
    return UNITS.get(metric, "/255" if metric in DISTANCES else named)


def campaign(
    seeds: int = 3, names: Iterable[str] = (), groups: Iterable[str] = MEMBERS, **changes: Any
) -> list[Result]:
    """A record of every run that the package's definitions ask for.

    Args:
        seeds: Repetitions, each with weights of its own.
        names: Experiments; none: all.
        groups: Of networks.
        changes: Of each record.
    """
    found: dict[str, Result] = {}
    for experiment in load_experiments().values():
        if experiment.name not in names if names else experiment.when_named:
            continue
        grid = [dict(zip(experiment.grid, values, strict=True)) for values in product(*experiment.grid.values())]
        members = [(g, m) for g in experiment.networks for m in MEMBERS[g] if g in groups]
        for (group, model), choice, seed in product(members, grid, range(1228, 1228 + seeds)):
            metrics = {}
            measured = OF_COMMAND[experiment.command]
            if experiment.options.get("attack") == "fmn":
                measured = DISTANCES
            for metric in measured:
                level, more, spread = LEVELS[metric]
                centre = random.Random(f"{model} {metric}").gauss(level + more * (group != "manual"), 3 * spread)
                value = random.Random(f"{model} {metric} {seed} {choice}").gauss(centre, spread)
                metrics[metric] = Metric(round(value, 4), _unit(metric), 1000)
            options = {**experiment.options, **experiment.schedule, **choice, "seed": seed}
            options |= {"suffix": "" if seed == 1228 else f"_s{seed}", "model": model}
            record = make(
                model,
                "nas" if group in SEARCHED else group,
                seed,
                experiment=experiment.command,
                algorithm=str(experiment.options.get("attack", "")),
                metrics=metrics,
                options={name: list(v) if isinstance(v, tuple) else v for name, v in options.items()},
                facts=_facts(model, group),
                **changes,
            ).replace(model=model)
            if experiment.command == "grad_var":
                record = record.replace(weights_sha256=f"{abs(hash((model, seed, 'untrained'))):064x}")
            found[record.path("").as_posix()] = record  # table1 and table4 share the run of plain darts
    return list(found.values())


def _facts(model: str, group: str) -> dict[str, Any]:
    place = [*MANUAL, *NAS, *MITIGATED, *SAMPLED].index(model)
    size = 7_000_000 + 9_000_000 * place if group == "manual" else 2_600_000 + 120_000 * (place - len(MANUAL))
    return {"parameters": size, "multiply_adds": 150 * size, "depth": 18 + 3 * place, "skips": place % 6}
