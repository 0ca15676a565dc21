"""Where the user's own networks stand: each beside the groups of others, by the metrics of the claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autovul.base.experiments import Claim, Experiment
from autovul.base.report import catalogue, formats, unmeasured, wording
from autovul.base.report.belonging import families, matching, resolve
from autovul.base.report.sections import OWN, Comparison, Network, Section

HEADING = "Where your own networks stand"
ABOUT = (
    "Each of your own networks beside the mean of each group that was measured with it, by the metric of the "
    "experiment's claim and by others of the same runs that the claim names as controls. It is called easier or harder "
    "to attack where the 95 % interval of the difference over seeds, for these networks, leaves 0 out; nothing is "
    "corrected for the number of rows."
)
EASIER, HARDER, UNDECIDED = "easier to attack", "harder to attack", "undecided"
DIRECTIONS = EASIER, HARDER, UNDECIDED
OF_CONFIDENCE = (
    "This success rate asks for a confidence, and so also measures how sure a network is (the scale of its logits); "
    "the plain rate and the distance do not."
)
ALONE = "None of your own networks was measured beside others in an experiment that has a claim."


@dataclass(frozen=True)
class Standing:
    """One network of the user's own in one experiment.

    Args:
        experiment, section, metric: Where, and by what.
        network: Its runs there.
        comparisons: With each group of which a network was measured.
        also: The same by the other metrics that the claim's controls name.
    """

    experiment: Experiment
    section: Section
    metric: str
    network: Network
    comparisons: Sequence[Comparison]
    also: Sequence[Standing] = ()

    @property
    def parts(self) -> Sequence[Standing]:
        """By the claim's metric, then by the others."""
        return self, *self.also

    @property
    def missing(self) -> str:
        """Why it has no value; empty where it has one."""
        return "" if self.network.values(self.metric) else unmeasured.why(self.network, self.metric)

    @property
    def unit(self) -> str:
        return self.section.unit(self.metric)

    @property
    def rows(self) -> int:
        """How many rows of a table it takes by this metric."""
        return max(1, len(self.comparisons))

    @property
    def all_rows(self) -> int:
        """And by all of them."""
        return sum(each.rows for each in self.parts)


def standings(sections: Sequence[Section], experiments: Iterable[Experiment]) -> list[list[Standing]]:
    """For each experiment with claims, by the metric of the first: all of the user's own networks that were measured.

    Whether both sides of the claim were is no matter; runs that several experiments share are shown once.
    """
    found: dict[int, list[Standing]] = {}
    for experiment in experiments:
        for siblings in families(sections, experiment):
            for claim in experiment.claims.values():
                for section in siblings:
                    own = _standings(experiment, section, claim, resolve(claim.where, siblings))
                    if own and not section.is_variants:
                        found.setdefault(section.number, own)
    return list(found.values())


def _standings(experiment: Experiment, section: Section, claim: Claim, where: Mapping[str, Any]) -> list[Standing]:
    """By the claim's metric of each own network, and by those that its controls read from the same runs."""
    other = (control.metric for control in claim.controls.values() if control.metric and not control.where)
    also: dict[str, list[Standing]] = {}
    for metric in dict.fromkeys(other):
        for each in _by(experiment, section, metric, where) if metric != claim.metric else ():
            also.setdefault(each.network.name, []).append(each)
    main = _by(experiment, section, claim.metric, where)
    return [dataclasses.replace(each, also=tuple(also.get(each.network.name, ()))) for each in main]


def _by(experiment: Experiment, section: Section, metric: str, where: Mapping[str, Any]) -> list[Standing]:
    networks = matching(section, {**experiment.options, **where})
    groups = [second for first, second in catalogue.COMPARISONS if first == OWN]
    members = [[network for network in networks if network.group == group] for group in groups]
    found = []
    for own in networks:
        if own.group == OWN and (own.values(metric) or unmeasured.why(own, metric)):
            compared = (section.compare(metric, [own], each) for each in members)
            found.append(Standing(experiment, section, metric, own, [each for each in compared if each is not None]))
    return found


def word(comparison: Comparison) -> str:
    """Whether the network is easier or harder to attack, undecided, or why that is not judged."""
    interval = comparison.difference.these_networks
    if comparison.doubtful:
        return wording.not_judged(comparison.doubtful)
    if comparison.confounded:
        return "not judged: different conditions"
    if interval is None:
        return "not judged: one seed"
    if interval.low == interval.high:
        return "not judged: all seeds alike"
    if wording.below_chance(comparison.metric, comparison.means):
        return "not judged: worse than guessing"
    if not interval.excludes_zero:
        return UNDECIDED
    easier = catalogue.metric_info(comparison.metric).easier
    if not easier:
        return "higher" if interval.low > 0 else "lower"
    return EASIER if (interval.low > 0) == (easier > 0) else HARDER


def tone(comparison: Comparison) -> str:
    """How the word is coloured: good, bad or neither."""
    return {HARDER: "good", EASIER: "bad"}.get(word(comparison), "open")


def notes(found: Iterable[Standing]) -> list[str]:
    """What the table does not show: why a network was not measured, and where metrics contradict each other."""
    told: list[str] = []
    for each in found:
        name = f"{each.network.label}, {each.experiment.title}"
        if each.missing:
            doubts = "".join(f" Doubtful: {doubt}." for doubt in each.network.doubts)
            told.append(f"{name}: {formats.capital(each.missing)}.{doubts}")
        if contradictions := [*_contradictions(each)]:
            of_confidence = each.metric == "success_rate" and "stop_threshold" in each.experiment.options
            disagree = f"{name}: The metrics disagree: {'; '.join(contradictions)}."
            told.append(f"{disagree} {OF_CONFIDENCE}" if of_confidence else disagree)
    return told


def _contradictions(standing: Standing) -> Iterator[str]:
    """Where another metric says another thing than the claim's, in words."""
    title = catalogue.metric_info(standing.metric).title
    judged = {each.second: found for each in standing.comparisons if (found := word(each)) in DIRECTIONS}
    for other in standing.also:
        unlike: dict[tuple[str, str], list[str]] = {}
        for each in other.comparisons:
            first, second = judged.get(each.second), word(each)
            if first and second in DIRECTIONS and first != second:
                unlike.setdefault((first, second), []).append(catalogue.group_title(each.second))
        for (first, second), groups in unlike.items():
            yield (
                f"beside {formats.listed(groups)} it is {first} by {title}, {second} by"
                f" {catalogue.metric_info(other.metric).title}"
            )
