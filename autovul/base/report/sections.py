"""What the report shows: sections of networks that may be compared, and each network's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from autovul.base.report import catalogue
from autovul.base.result import DESTROYED, Result
from autovul.base.statistics import Difference, Interval, compare_groups, mean_interval, wilson_interval

OWN = "yours"  # the group of the user's own networks: unlike each other, so that each is compared by itself


@dataclass(frozen=True)
class Run:
    """A record and its place in the report."""

    number: int
    result: Result
    settings: Mapping[str, str] = field(default_factory=dict)  # the options that matter for what was measured

    @property
    def anchor(self) -> str:
        return f"run-{self.number}"


@dataclass(frozen=True)
class Network:
    """One network of a section: a row of the table.

    Args:
        name: The network's name without the suffix of a repetition.
        group: Its group.
        runs: Its runs, one a seed, by seed.
        marks: Options that change its size, such as "width 0.25".
    """

    name: str
    group: str
    runs: tuple[Run, ...]
    marks: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        return f"network-of-{self.runs[0].anchor}"

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """Equal for the same network in the same size, whatever its runs."""
        return self.group, self.name, self.marks

    @property
    def label(self) -> str:
        return f"{self.name} ({', '.join(self.marks)})" if self.marks else self.name

    @property
    def good(self) -> list[Run]:
        """The runs that count: those whose status is ok."""
        return [run for run in self.runs if run.result.status == "ok"]

    @property
    def troubles(self) -> dict[str, int]:
        """How many runs diverged or failed, by status."""
        statuses = [run.result.status for run in self.runs]
        return {status: statuses.count(status) for status in ("diverged", "failed") if status in statuses}

    @property
    def weights_are_shared(self) -> bool:
        """Whether seeds share weights, so that training does not vary between them; a training makes its own."""
        hashes = {run.result.weights_sha256 for run in self.good}
        return self.runs[0].result.experiment != "train" and len(hashes) < len(self.good) and "" not in hashes

    @property
    def doubts(self) -> list[str]:
        """What makes the figures of its runs that count doubtful."""
        recorded = (run.result.environment.get("doubts") for run in self.good)
        return list(dict.fromkeys(str(doubt) for each in recorded if isinstance(each, list | tuple) for doubt in each))

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of a run that counts, if one has them."""
        return next((run.result.facts for run in (*self.good, *self.runs) if run.result.facts), {})

    def by_seed(self, metric: str) -> dict[int, float]:
        """The metric's values, one for each run that counts and measured it."""
        found = ((run.result.seed, run.result.metrics.get(metric)) for run in self.good)
        return {seed: entry.value for seed, entry in found if entry is not None and entry.value is not None}

    def values(self, metric: str) -> list[float]:
        """The same without the seeds."""
        return [*self.by_seed(metric).values()]

    def mean(self, metric: str) -> float | None:
        values = self.values(metric)
        return fmean(values) if values else None

    def counts(self, metric: str) -> list[int]:
        """The distinct numbers of samples that the metric's values are over."""
        found = (run.result.metrics.get(metric) for run in self.good)
        return sorted({entry.count for entry in found if entry is not None and entry.count is not None})

    def seed_interval(self, metric: str) -> Interval | None:
        """The interval over seeds, from two on."""
        return mean_interval(self.values(metric))

    def image_interval(self, metric: str) -> Interval | None:
        """The interval over images of a rate that only one seed measured, in percent."""
        values, counts = self.values(metric), self.counts(metric)
        if len(values) != 1 or len(counts) != 1 or counts[0] < 1 or not catalogue.metric_info(metric).rate:
            return None
        if not 0 <= values[0] <= 100:
            return None
        interval = wilson_interval(values[0] * counts[0] / 100, counts[0])
        return Interval(values[0], 100 * interval.low, 100 * interval.high)


@dataclass(frozen=True)
class Comparison:
    """A metric's group means and their difference, first minus second; a network of the user's own may be the first."""

    metric: str
    first: str
    second: str
    means: tuple[float, float]
    difference: Difference
    least_seeds: int  # the fewest values a network has
    confounded: bool  # the two groups ran under different conditions
    doubtful: tuple[str, ...]  # networks of both whose figures are doubtful
    own: str  # the network of the user's own that stands in place of the first group; empty for a group

    @property
    def titles(self) -> tuple[str, str]:
        """What the two are called."""
        return self.own or catalogue.group_title(self.first), catalogue.group_title(self.second)


@dataclass(frozen=True)
class Section:
    """Runs that may be compared: one experiment and algorithm, on one set of data, under one setting.

    Args:
        number: Its place in the report.
        experiment, algorithm, dataset, data_sha256: What all its runs share.
        setting: The options that tell it apart from its sister sections.
        networks: By group, then by name.
        metrics: The metrics of its tables, the main one first.
        differing: Options that are not the same for all networks: their values, and who has each.
        is_variants: Whether its networks stand elsewhere in their own size (see `division`).
        several_data: Whether other sections show other data under the same name.
        replaced: How many older records of the same run were left aside.
        remade: Networks of which there are records from before their code or their cells changed: left aside too.
    """

    number: int
    experiment: str
    algorithm: str
    dataset: str
    data_sha256: str
    setting: Mapping[str, str]
    networks: tuple[Network, ...]
    metrics: tuple[str, ...]
    differing: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    is_variants: bool = False
    several_data: bool = False
    replaced: int = 0
    remade: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        return f"section-{self.number}"

    @property
    def main(self) -> str:
        return self.metrics[0] if self.metrics else ""

    @property
    def title(self) -> str:
        return catalogue.experiment_info(self.experiment).title

    @property
    def about(self) -> str:
        return catalogue.experiment_info(self.experiment).about

    @property
    def conditions(self) -> list[str]:
        """What tells the section apart: algorithm, data, setting."""
        data = f"{self.dataset} (data {self.data_sha256[:8] or 'not recorded'})" if self.several_data else self.dataset
        setting = [f"{name} {value}" for name, value in self.setting.items()]
        return [part for part in (self.algorithm, data, *setting) if part]

    @property
    def results(self) -> list[Result]:
        return [run.result for network in self.networks for run in network.runs]

    @property
    def groups(self) -> list[str]:
        return sorted({network.group for network in self.networks}, key=catalogue.group_rank)

    def unit(self, metric: str) -> str:
        found = (result.metrics.get(metric) for result in self.results)
        return next((entry.unit for entry in found if entry is not None), "")

    def members(self, group: str, metric: str) -> list[Network]:
        """The group's networks that have a value of the metric."""
        return [network for network in self._of(group) if network.values(metric)]

    def group_mean(self, group: str, metric: str) -> float | None:
        """The mean over the group's networks, each counting once."""
        return mean_over(self._of(group), metric)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        pairs = [pair for pair in catalogue.COMPARISONS if set(pair) <= set(self.groups)]
        found = (
            self.compare(metric, side, self._of(second))
            for metric in self.metrics
            for first, second in pairs
            for side in ([[own] for own in self._of(first)] if first == OWN else [self._of(first)])
        )
        return [comparison for comparison in found if comparison is not None]

    @property
    def headline_comparison(self) -> Comparison | None:
        """Searched against manual networks by the main metric: the question of the report."""
        pair = catalogue.COMPARISONS[0]
        found = (entry for entry in self.comparisons if (entry.first, entry.second) == pair)
        return next((entry for entry in found if entry.metric == self.main), None)

    def _of(self, group: str) -> list[Network]:
        return [network for network in self.networks if network.group == group]

    def compare(self, metric: str, first: Iterable[Network], second: Iterable[Network]) -> Comparison | None:
        """Networks of two groups by a metric, of the user's own one alone; None where a side has no value."""
        sides = [[network for network in side if network.values(metric)] for side in (first, second)]
        if not all(sides):
            return None
        values_1, values_2 = ([network.by_seed(metric) for network in side] for side in sides)
        means = [fmean(fmean(values.values()) for values in side) for side in (values_1, values_2)]
        return Comparison(
            metric,
            first=sides[0][0].group,
            second=sides[1][0].group,
            means=(means[0], means[1]),
            difference=compare_groups(values_1, values_2),
            least_seeds=min(len(values) for values in values_1 + values_2),
            confounded=bool(self.confounds(*sides)),
            doubtful=doubtful(metric, *sides),
            own=sides[0][0].label if sides[0][0].group == OWN else "",
        )

    def confounds(self, first: Iterable[Network], second: Iterable[Network]) -> dict[str, tuple[list[str], list[str]]]:
        """Options of which two sides have not the same value most often, with each side's values; their size aside."""
        names = [{network.name for network in side} for side in (first, second)]
        found = {}
        for option, holders in self.differing.items():
            left, right = ({v: len(side & set(who)) for v, who in holders.items() if side & set(who)} for side in names)
            if left and right and not _usual(left) & _usual(right) and option not in catalogue.STRUCTURE:
                found[option] = ([*left], [*right])
        return found


def mean_over(networks: Iterable[Network], metric: str) -> float | None:
    """The mean over networks that have a value of the metric, each counting once; None where none has."""
    means = [fmean(values) for network in networks if (values := network.values(metric))]
    return fmean(means) if means else None


def doubtful(metric: str, *sides: Iterable[Network]) -> tuple[str, ...]:
    """The networks of some sides whose figures of a metric are doubtful.

    That an attack's training has destroyed a network is what its accuracies are to tell, and no doubt about those.
    """

    def doubts(network: Network) -> list[str]:
        return [each for each in network.doubts if "accuracy" not in metric or not each.startswith(DESTROYED)]

    return tuple(network.label for side in sides for network in side if doubts(network))


def _usual(counts: Mapping[str, int]) -> set[str]:
    """The values that most networks have."""
    return {value for value, count in counts.items() if count == max(counts.values())}
