"""What networks are like beside what an attack found: facts of theirs, and how their training went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal, get_args

from autovul.base.report import catalogue
from autovul.base.report.sections import Network, Run
from autovul.base.report.settings import network_name, size_marks, weights_suffix
from autovul.base.result import LARGEST, Metric, Result
from autovul.base.training.early_loss import early_loss

ACCURACY, EARLY_LOSS = "valid_accuracy", "early_train_loss"
OF_TRAINING = (ACCURACY, EARLY_LOSS)
_Key = tuple[str, ...]
_Values = dict[str, float]
Half = Literal["less", "more", "median", "unknown"]


@dataclass(frozen=True)
class Trainings:
    """What the trainings of networks found, by weights and by name, from ``train`` and ``validate`` records."""

    by_weights: Mapping[str, Mapping[str, float]]
    by_network: Mapping[_Key, Mapping[str, Mapping[str, float]]]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Trainings:
        by_weights: dict[str, _Values] = {}
        by_network: dict[_Key, dict[str, _Values]] = {}
        # What stands last wins: a training's own validation over another one's, the newest among equals.
        ordered = (r for r in results if r.status == "ok" and r.experiment in catalogue.OF_WEIGHTS)
        for result in sorted(ordered, key=lambda r: (r.experiment == "train", str(r.environment.get("created", "")))):
            found = {name: result.metrics[name].value for name in OF_TRAINING if name in result.metrics}
            known = {name: value for name, value in found.items() if value is not None}
            if result.weights_sha256:
                by_weights.setdefault(result.weights_sha256, {}).update(known)
            by_network.setdefault(_key(result), {}).setdefault(weights_suffix(result), {}).update(known)
        return cls(by_weights, by_network)

    def of_run(self, run: Run, metric: str) -> float | None:
        """By the weights attacked; for a run that trains anew or not at all, by network, data and seed."""
        result = run.result
        if metric in self.by_weights.get(result.weights_sha256, {}):
            return self.by_weights[result.weights_sha256][metric]
        named = {
            suffix: each[metric] for suffix, each in self.by_network.get(_key(result), {}).items() if metric in each
        }
        return named.get(weights_suffix(result), next(iter(named.values())) if len(named) == 1 else None)

    def of_network(self, network: Network, metric: str) -> float | None:
        """The mean over its runs."""
        found = [value for run in network.good if (value := self.of_run(run, metric)) is not None]
        return fmean(found) if found else None

    def trait(self, network: Network, name: str) -> float | None:
        """A trait of a network, one of `catalogue.TRAITS`; None where the records do not tell it."""
        return self.of_network(network, name) if name in OF_TRAINING else fact(network, name)


def with_early_loss(result: Result) -> Result:
    """A training's record with its early training loss, which older ones hold only epoch by epoch."""
    epochs = result.options.get("epoch")
    if result.experiment != "train" or EARLY_LOSS in result.metrics or not isinstance(epochs, int):
        return result
    rows = (row for row in result.series if isinstance(row.get("train_loss"), int | float))
    found = early_loss({row["epoch"]: row["train_loss"] for row in rows if isinstance(row.get("epoch"), int)}, epochs)
    if found is None or not abs(found) <= LARGEST:  # a record may hold what no metric can
        return result
    return result.replace(metrics={**result.metrics, EARLY_LOSS: Metric(found, "nats")})


def fact(network: Network, name: str) -> float | None:
    """A fact of a network as a number; None where its records do not hold it."""
    value = network.facts.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def halves(networks: Sequence[Network], value: Callable[[Network], float | None]) -> dict[Half, list[Network]]:
    """Networks by how a value of theirs lies to the median of all; those at the median are in neither half."""
    values = [value(network) for network in networks]
    known = [x for x in values if x is not None]
    middle = median(known) if known else 0.0
    found: dict[Half, list[Network]] = {half: [] for half in get_args(Half)}
    for network, x in zip(networks, values, strict=True):
        found["unknown" if x is None else "less" if x < middle else "more" if x > middle else "median"].append(network)
    return found


def _key(result: Result) -> _Key:
    name = network_name(result)
    return (result.dataset, result.data_sha256, result.group, name, str(result.seed), *size_marks(result))
