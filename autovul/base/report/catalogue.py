"""What the report knows about experiments, metrics, groups and options, in one place; the rest is shown as recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from autovul.base.groups import GROUPS
from autovul.base.report import formats


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is shown.

    Args:
        title: Its name for readers.
        easier: What a larger value means for an attacker: 1 easier, -1 harder, 0 neither.
        rate: Whether it is a share of ``count`` images, so that an interval over images can be given.
        chance: What guessing gives, where an attacker may turn a score below it round; else None.
    """

    title: str
    easier: int = 0
    rate: bool = False
    chance: float | None = None


@dataclass(frozen=True)
class Experiment:
    """How an experiment is shown.

    Args:
        title: Its heading.
        about: One sentence: what was done and what the main metric says.
        metrics: The metrics of the tables, the main one first; empty for all there are.
    """

    title: str
    about: str = ""
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trait:
    """What networks are compared by beside what an attack finds.

    Args:
        title: Its name for readers.
        halves: What the networks with less of it are called, and those with more.
        unit: Its unit, if it has one.
    """

    title: str
    halves: tuple[str, str]
    unit: str = ""


@dataclass(frozen=True)
class Look:
    """How a group's networks are drawn, on the page and in files.

    Args:
        name: The group's, or "other".
        colour, on_dark: On white, and on the page where readers prefer it dark.
        symbol, marker: Their shape as the page calls it, and as matplotlib does.
    """

    name: str
    colour: str
    on_dark: str
    symbol: str
    marker: str


TRAITS = {
    "early_train_loss": Trait("early training loss", ("faster early on", "slower early on"), "nats"),
    "depth": Trait("depth", ("less deep", "deeper")),
    "skips": Trait("skip connections", ("fewer skips", "more skips")),
    "parameters": Trait("parameters", ("smaller", "larger")),
}

EXPERIMENTS = {
    "train": Experiment(
        "Training",
        "Networks trained from scratch; the accuracy on validation images after the last epoch.",
        ("valid_accuracy", "best_valid_accuracy", "train_accuracy", "valid_loss", "early_train_loss"),
    ),
    "validate": Experiment(
        "Validation",
        "Trained networks judged on clean validation images.",
        ("valid_accuracy", "top5_accuracy", "valid_loss"),
    ),
    "adv_attack": Experiment(
        "Adversarial attack",
        "Small changes to an image that steer the network to another class. The success rate is the share of images"
        " for which the attack's own stop condition was met; the plain rates stand beside it. A distance is that of an"
        " image's nearest adversarial example: the smaller, the easier.",
        (
            *("success_rate", "targeted_success_rate", "misclassification_rate", "median_distance"),
            *("lower_quartile_distance", "upper_quartile_distance", "clean_accuracy", "mean_iterations"),
        ),
    ),
    "poison": Experiment(
        "Data poisoning",
        "A share of the training images carries wrong labels; the accuracy on clean validation images that this costs.",
        ("accuracy_drop", "clean_accuracy", "success_rate"),
    ),
    "backdoor": Experiment(
        "Backdoor",
        "A trigger trained into the network; the share of images of other classes that it sends to the target class."
        " The same figure of the clean network stands beside it.",
        ("success_rate", "success_rate_all", "clean_model_success_rate", "clean_accuracy", "accuracy_drop"),
    ),
    "extraction": Experiment(
        "Model extraction",
        "A thief trained on the victim's answers; the cross entropy between the two on validation images, the mean over"
        " the budgets. A smaller one is a better copy.",
        ("cross_entropy", "kl_divergence", "agreement", "thief_accuracy", "victim_accuracy", "queries"),
    ),
    "membership": Experiment(
        "Membership inference",
        "Telling training images from others; the area under the ROC curve, 0.5 for guessing.",
        ("boundary_auc", "boundary_auc_mirrored", "confidence_auc", "entropy_auc", "loss_auc"),
    ),
    "grad_var": Experiment(
        "Gradient variance",
        "The spread of the clipped gradients of single images, summed over all parameters, on a log10 scale.",
        ("log10_gradient_variance", "gradient_variance", "zero_gradients", "clipped_gradients"),
    ),
    "loss_contour": Experiment(
        "Loss contour",
        "The loss on a plane around the network's parameters or around its images: how much higher it is there, in the"
        " mean, than at the centre.",
        ("mean_loss_change", "largest_loss", "center_loss"),
    ),
}

METRICS = {
    "valid_accuracy": MetricInfo("Validation accuracy", rate=True),
    "best_valid_accuracy": MetricInfo("Best validation accuracy", rate=True),
    "train_accuracy": MetricInfo("Training accuracy", rate=True),
    "top5_accuracy": MetricInfo("Top-5 accuracy", rate=True),
    "valid_loss": MetricInfo("Validation loss"),
    "early_train_loss": MetricInfo("Early training loss"),
    "success_rate": MetricInfo("Success rate", easier=1, rate=True),
    "targeted_success_rate": MetricInfo("Classified as target", easier=1, rate=True),
    "misclassification_rate": MetricInfo("Misclassified", easier=1, rate=True),
    "median_distance": MetricInfo("Median distance", easier=-1),
    "lower_quartile_distance": MetricInfo("Lower quartile of distances", easier=-1),
    "upper_quartile_distance": MetricInfo("Upper quartile of distances", easier=-1),
    "clean_accuracy": MetricInfo("Clean accuracy", rate=True),
    "mean_iterations": MetricInfo("Mean iterations", easier=-1),
    "accuracy_drop": MetricInfo("Accuracy drop"),
    "success_rate_all": MetricInfo("Success rate, all images", easier=1, rate=True),
    "clean_model_success_rate": MetricInfo("Success rate on the clean network", rate=True),
    "cross_entropy": MetricInfo("Cross entropy", easier=-1),
    "kl_divergence": MetricInfo("Divergence", easier=-1),
    "agreement": MetricInfo("Agreement", easier=1, rate=True),
    "thief_accuracy": MetricInfo("Thief's accuracy", rate=True),
    "victim_accuracy": MetricInfo("Victim's accuracy", rate=True),
    "boundary_auc": MetricInfo("AUC, boundary distance", easier=1, chance=0.5),
    "boundary_auc_mirrored": MetricInfo("AUC as published", easier=1),
    "confidence_auc": MetricInfo("AUC, confidence", easier=1, chance=0.5),
    "entropy_auc": MetricInfo("AUC, entropy", easier=1, chance=0.5),
    "loss_auc": MetricInfo("AUC, loss", easier=1, chance=0.5),
    "log10_gradient_variance": MetricInfo("log10 of the gradient variance"),
    "gradient_variance": MetricInfo("Gradient variance"),
    "mean_loss_change": MetricInfo("Mean change of the loss"),
    "largest_loss": MetricInfo("Largest loss"),
    "center_loss": MetricInfo("Loss at the centre"),
}

COMPARISONS = (
    *(("nas", "manual"), ("nas", "sampled"), ("mitigated", "nas")),
    *(("yours", "manual"), ("yours", "nas"), ("yours", "sampled")),
)

# The commands whose records tell what weights are like by themselves.
OF_WEIGHTS = ("train", "validate")

# Options that change a network's size, with the published value: a network with another one is marked.
SHAPE = {"width": 1.0, "layers": 20, "init_channels": 36}
# Options of a network's structure, which one group has and another has not.
STRUCTURE = (*SHAPE, "dropout", "auxiliary", "auxiliary_weight")

OTHER = Look("other", "#59636e", "#9da7b3", "cross", "x")
LOOKS = (
    Look("manual", "#0072b2", "#56b4e9", "circle", "o"),
    Look("nas", "#c8500a", "#f59553", "diamond", "D"),
    Look("mitigated", "#00805c", "#3fc79f", "triangle", "^"),
    Look("yours", "#a23f7d", "#e696c6", "square", "s"),
    Look("sampled", "#7a6200", "#d6bb4a", "pentagon", "p"),
    OTHER,
)

# The curves drawn from a record's series, the boldest first.
CURVES = {"valid_accuracy": "validation", "train_accuracy": "training"}


def experiment_info(name: str) -> Experiment:
    """The declared experiment, or one with the name for a title and all metrics."""
    return EXPERIMENTS.get(name) or Experiment(readable(name))


def experiment_rank(name: str) -> int:
    """Sorts experiments: the declared ones first."""
    known = list(EXPERIMENTS)
    return known.index(name) if name in known else len(known)


def metric_info(name: str) -> MetricInfo:
    """The declared metric, or one with the name for a title.

    ``…_40pct`` is that metric at 40 %, ``…_2_5pct`` at 2.5 %, ``…_2000_queries`` that with 2,000 queries.
    """
    if name in METRICS:
        return METRICS[name]
    for ending, how in (("pct", "at {} %"), ("_queries", "with {:,} queries")):
        if found := re.fullmatch(rf"(.+?)_(\d+(?:_\d+)?){ending}", name):
            info, number = metric_info(found[1]), found[2]
            value = float(number.replace("_", ".")) if "_" in number else int(number)
            return MetricInfo(f"{info.title} {how.format(value)}", info.easier, info.rate)
    return MetricInfo(readable(name))


def group_title(name: str) -> str:
    """A group's name for readers."""
    return GROUPS[name].title if name in GROUPS else name


def look(group: str) -> Look:
    """A group's own look, or that of all without one."""
    return next((each for each in LOOKS if each.name == group), OTHER)


def group_rank(name: str) -> tuple[int, str]:
    """Sorts groups: the declared ones first."""
    known = list(GROUPS)
    return (known.index(name) if name in known else len(known), name)


def network_rank(group: str, name: str) -> tuple[Any, ...]:
    """Sorts networks: by group, and "sampled_10" after "sampled_9"."""
    parts = ((int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name))
    return group_rank(group), *parts


def readable(name: str) -> str:
    """``some_name`` as "Some name"."""
    return formats.capital(name.replace("_", " ").strip())
