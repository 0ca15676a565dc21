"""What the report knows about experiments, metrics, groups and options, in one place; the rest is shown as recorded."""

from __future__ import annotations

from dataclasses import dataclass

from autovul.base.result import NOT_IDENTITY


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is shown.

    Args:
        title: Its name for readers.
        easier: What a larger value means for an attacker: 1 easier, -1 harder, 0 neither.
        rate: Whether it is a share of ``count`` images, so that an interval over images can be given.
    """

    title: str
    easier: int = 0
    rate: bool = False


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


EXPERIMENTS = {
    "train": Experiment(
        "Training",
        "Networks trained from scratch; the accuracy on validation images after the last epoch.",
        ("valid_accuracy", "best_valid_accuracy", "train_accuracy", "valid_loss"),
    ),
    "validate": Experiment(
        "Validation",
        "Trained networks judged on clean validation images.",
        ("valid_accuracy", "top5_accuracy", "valid_loss"),
    ),
    "adv_attack": Experiment(
        "Adversarial attack",
        "Small changes to an image that steer the network to a target class. The success rate is the share of images"
        " for which the attack's own stop condition was met; the plain rates stand beside it.",
        ("success_rate", "targeted_success_rate", "misclassification_rate", "clean_accuracy", "mean_iterations"),
    ),
}

METRICS = {
    "valid_accuracy": MetricInfo("Validation accuracy", rate=True),
    "best_valid_accuracy": MetricInfo("Best validation accuracy", rate=True),
    "train_accuracy": MetricInfo("Training accuracy", rate=True),
    "top5_accuracy": MetricInfo("Top-5 accuracy", rate=True),
    "valid_loss": MetricInfo("Validation loss"),
    "success_rate": MetricInfo("Success rate", easier=1, rate=True),
    "targeted_success_rate": MetricInfo("Classified as target", easier=1, rate=True),
    "misclassification_rate": MetricInfo("Misclassified", easier=1, rate=True),
    "clean_accuracy": MetricInfo("Clean accuracy", rate=True),
    "mean_iterations": MetricInfo("Mean iterations", easier=-1),
}

GROUPS = {"manual": "Manual", "nas": "NAS", "mitigated": "Mitigated", "yours": "Yours"}

COMPARISONS = (("nas", "manual"), ("mitigated", "nas"), ("yours", "manual"), ("yours", "nas"))

# What a run may differ in without measuring anything else.
BOOKKEEPING = NOT_IDENTITY | {
    *("seed", "device", "benchmark", "deterministic", "config", "command", "experiment", "suffix"),
    *("dataset", "model", "model_arch", "model_path", "data_dir", "data_path", "model_dir", "attack_dir"),
    *("valid_batch_size", "test_batch_size", "validate_interval"),
}

# Options that change a network's size, with the published value: a network with another one is marked.
SHAPE = {"width": 1.0, "layers": 20, "init_channels": 36}

# The curves drawn from a record's series, the boldest first.
CURVES = {"valid_accuracy": "validation", "train_accuracy": "training"}


def experiment_info(name: str) -> Experiment:
    """The declared experiment, or one with the name for a title and all metrics."""
    return EXPERIMENTS.get(name) or Experiment(readable(name))


def metric_info(name: str) -> MetricInfo:
    """The declared metric, or one with the name for a title."""
    return METRICS.get(name) or MetricInfo(readable(name))


def group_title(name: str) -> str:
    """A group's name for readers."""
    return GROUPS.get(name, name)


def group_rank(name: str) -> tuple[int, str]:
    """Sorts groups: the declared ones first."""
    known = list(GROUPS)
    return (known.index(name) if name in known else len(known), name)


def readable(name: str) -> str:
    """``some_name`` as "Some name"."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
