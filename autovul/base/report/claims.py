"""The claims of the experiments' definitions, each judged on the runs that belong to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, get_args

from autovul.base.experiments import Claim, Experiment
from autovul.base.groups import GROUPS
from autovul.base.report import catalogue, unmeasured
from autovul.base.report.belonging import families, matching, names_of, on_side, resolve
from autovul.base.report.sections import Network, Section, doubtful, mean_over
from autovul.base.report.settings import option_text
from autovul.base.report.traits import Half, Trainings, halves
from autovul.base.statistics import (
    BySeed,
    Difference,
    Interval,
    Verdict,
    compare_groups,
    seeds_needed,
    share_between_networks,
)


@dataclass(frozen=True)
class Reading:
    """A metric of the networks that a claim is about.

    Args:
        metric: Its name in the records.
        first, second: Networks that measured it, by the claim's two sides.
        yours: The user's own networks that are on neither side.
        between: Networks that a claim halves and that are at the median, in neither half.
        unknown: And those of which the trait is not known.
    """

    metric: str
    first: tuple[Network, ...]
    second: tuple[Network, ...]
    yours: tuple[Network, ...] = ()
    between: tuple[Network, ...] = ()
    unknown: tuple[Network, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        return (*self.first, *self.second, *self.between, *self.unknown, *self.yours)

    @cached_property
    def difference(self) -> Difference | None:
        """The difference of the two sides' means; None where one of them has no value."""
        first, second = self.sides
        return compare_groups(first, second) if first and second else None

    def half_of(self, network: Network) -> Half:
        """Where a network of this name and group lies, whatever its size."""
        parts: dict[Half, tuple[Network, ...]] = {"less": self.first, "more": self.second, "median": self.between}
        key = network.group, network.name
        alike = (half for half, part in parts.items() if any((each.group, each.name) == key for each in part))
        return next(alike, "unknown")

    @property
    def sides(self) -> tuple[Sequence[BySeed], Sequence[BySeed]]:
        """Each side's networks' values by seed."""
        first, second = ([network.by_seed(self.metric) for network in side] for side in (self.first, self.second))
        return first, second

    def mean(self, side: Sequence[Network]) -> float | None:
        """The mean over networks, each counting once."""
        return mean_over(side, self.metric)

    @property
    def unit(self) -> str:
        found = (run.result.metrics.get(self.metric) for network in self.networks for run in network.good)
        return next((entry.unit for entry in found if entry is not None), "")

    @property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most values that a network has."""
        counts = [len(network.values(self.metric)) for network in (*self.first, *self.second)]
        return (min(counts), max(counts)) if counts else (0, 0)


@dataclass(frozen=True)
class Finding:
    """A claim on one set of runs that may be compared.

    Args:
        number: Its place in the report.
        name: The claim's.
        experiment, claim: The definition.
        section: Where the runs stand.
        where: The claim's grid values, ``largest`` and ``smallest`` resolved.
        reading: Its metric.
        siblings: The section and its sisters, which differ from it in the experiment's grid only.
        unmeasured: Networks of the claim without a value, with the reason.
        wanted: The networks of the paper that the claim is about, by its two sides; empty where they are not known.
    """

    number: int
    name: str
    experiment: Experiment
    claim: Claim
    section: Section
    where: Mapping[str, Any]
    reading: Reading
    siblings: Sequence[Section]
    unmeasured: tuple[tuple[Network, str], ...]
    wanted: tuple[Sequence[str], Sequence[str]]

    @property
    def anchor(self) -> str:
        return f"claim-{self.number}"

    @property
    def has_both_sides(self) -> bool:
        """Whether there is something to compare; a claim with a range needs one side only."""
        return bool(self.reading.first) and bool(self.reading.second or self.claim.range)

    @property
    def conditions(self) -> list[str]:
        """On what it was measured: data, setting, and the grid's values."""
        known = set(self.where)
        data = self.section.conditions[1 if self.section.algorithm else 0 :]
        rest = [part for part in data if part.partition(" ")[0] not in known]
        named = [name for name in self.experiment.named if name not in known | set(self.section.setting)]
        if self.section.experiment != self.experiment.command:
            rest = [self.section.title, *rest]
        return [*rest, *map(self._named, named), *(f"{name} {value}" for name, value in self.where.items())]

    def _named(self, name: str) -> str:
        sides = (*self.reading.first, *self.reading.second) or self.reading.networks
        runs = (run.result for network in sides for run in network.good)
        values = dict.fromkeys(option_text(result.options[name]) for result in runs if name in result.options)
        return f"{name} {' or '.join(values) or 'not recorded'}"

    @cached_property
    def verdict(self) -> Verdict | None:
        """None where the interval is not known or has no width, or nothing is expected or may be judged."""
        difference, claim = self.reading.difference, self.claim
        if difference is None or claim.goal is None or self.confounds or self.doubtful:
            return None
        return difference.judged(claim.goal, claim.tolerance, in_general=claim.in_general)

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Networks of the two sides whose figures are doubtful."""
        return doubtful(self.reading.metric, self.reading.first, self.reading.second)

    @cached_property
    def confounds(self) -> dict[str, tuple[list[str], list[str]]]:
        """As `Section.confounds`, of the two sides."""
        return self.section.confounds(self.reading.first, self.reading.second)

    @property
    def mixed(self) -> list[str]:
        """Options that are not the same for all networks in the means and yet no `confounds`; their size aside."""
        names = {network.name for network in (*self.reading.first, *self.reading.second)}
        several = (
            option
            for option, holders in self.section.differing.items()
            if sum(bool(names & set(who)) for who in holders.values()) > 1 and option not in catalogue.STRUCTURE
        )
        return [option for option in several if option not in self.confounds]

    @property
    def absent(self) -> tuple[list[str], list[str]]:
        """The networks of each side that have no value."""
        reading = self.reading
        measured = (*reading.first, *reading.second, *reading.between, *reading.unknown)
        there = {name for network in measured for name in names_of(network)}
        first, second = ([name for name in side if name not in there] for side in self.wanted)
        return first, second

    @cached_property
    def seeds_needed(self) -> int | None:
        """Seeds a network with which the direction would be decided; None where that is not known or too many."""
        first, second = self.reading.sides
        return seeds_needed(first, second) if first and second and not self.claim.in_general else None

    @cached_property
    def share_between_networks(self) -> Interval | None:
        """How much of the spread within the sides is the networks' own; None where that is not known."""
        return share_between_networks(self.reading.sides)


def find(
    sections: Sequence[Section],
    experiments: Mapping[str, Experiment],
    trainings: Trainings,
    groups: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Finding]:
    """Judge every claim on every set of comparable runs that belongs to its experiment.

    A section belongs to an experiment if its runs' command is the experiment's and every option of the experiment's
    ``options`` and of the claim's ``where`` equals theirs; ``largest`` and ``smallest`` are those among its sister
    sections, which differ from it in the grid only. Claims of which a side was not measured come last.

    Args:
        sections: All there are.
        experiments: By name, in the order of the report.
        trainings: How networks were trained.
        groups: The paper's networks by group.
    """
    findings: list[Finding] = []
    for experiment in experiments.values():
        for siblings in families(sections, experiment):
            for name, claim in experiment.claims.items():
                where = resolve(claim.where, siblings)
                for section in siblings:
                    first = _members(claim.first, groups)
                    wanted = first, [name for name in _members(claim.second, groups) if name not in first]
                    found = _judge(name, experiment, claim, section, where, siblings, wanted, trainings)
                    if found is not None:
                        findings.append(found)
    findings.sort(key=lambda found: not found.has_both_sides)  # what cannot be judged stands last
    return [dataclasses.replace(found, number=number) for number, found in enumerate(findings, start=1)]


def _members(side: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The networks of a claim's side, its groups resolved; none where the groups are not known."""
    return [member for name in side for member in groups.get(name, (name,) if groups and name not in GROUPS else ())]


def read(networks: Iterable[Network], claim: Claim, metric: str, half_of: Callable[[Network], Half]) -> Reading:
    """The networks that measured the metric, by the claim's sides.

    Args:
        networks: All that may be on a side.
        claim: Says which side a network is on.
        metric: Networks without it are left out.
        half_of: Of a claim that halves its networks: where one lies.
    """
    measured = [network for network in networks if network.values(metric)]
    first = tuple(network for network in measured if on_side(network, claim.first))
    rest = [network for network in measured if not on_side(network, claim.first)]
    second = tuple(network for network in rest if on_side(network, claim.second))
    yours = tuple(n for n in rest if n.group == "yours" and not on_side(n, claim.second))
    if claim.halves is None:
        return Reading(metric, first, second, yours)
    less, more, median, unknown = (tuple(each for each in first if half_of(each) == half) for half in get_args(Half))
    return Reading(metric, less, more, yours, median, unknown)


def _judge(
    name: str,
    experiment: Experiment,
    claim: Claim,
    section: Section,
    where: Mapping[str, Any],
    siblings: Sequence[Section],
    wanted: tuple[Sequence[str], Sequence[str]],
    trainings: Trainings,
) -> Finding | None:
    """The claim on one section, or None where the section has no network of it."""
    networks = [
        network
        for network in matching(section, {**experiment.options, **where})
        if on_side(network, (*claim.first, *claim.second)) or network.group == "yours"
    ]
    if section.is_variants and not claim.second:
        return None  # variants serve the controls of the claim on the networks that they are variants of
    # The runs of one side alone may be another experiment's.
    if not all(any(on_side(each, side) for each in networks) for side in (claim.first, claim.second) if side):
        return None
    if section.experiment == "validate" and not any(network.values(claim.metric) for network in networks):
        return None  # a validation stands for the training of given weights, but has not all that a training measures
    reading = read(networks, claim, claim.metric, _halving(networks, claim, trainings))
    unmeasured = tuple((n, _why(n, claim.metric)) for n in networks if not n.values(claim.metric))
    return Finding(0, name, experiment, claim, section, where, reading, siblings, unmeasured, wanted)


def _halving(networks: Sequence[Network], claim: Claim, trainings: Trainings) -> Callable[[Network], Half]:
    """By the trait that the claim names, if it names one, of its networks that measured its metric."""
    if (trait := claim.halves) is None:
        return lambda network: "unknown"
    own = [each for each in networks if on_side(each, claim.first) and each.values(claim.metric)]
    parts = halves(own, lambda network: trainings.trait(network, trait))
    return lambda network: next((half for half, part in parts.items() if network in part), "unknown")


def _why(network: Network, metric: str) -> str:
    if not network.good:
        last = network.runs[-1].result
        return f"{last.status}: {last.message}" if last.message else last.status
    if empty := unmeasured.why(network, metric):
        return empty
    return f"its records have no {catalogue.metric_info(metric).title} ({metric})"
