"""Where the user's own networks stand: each beside the groups of others, by the metrics of the claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autovul.base.experiments import Experiment
from autovul.base.report import catalogue, wording
from autovul.base.report.belonging import families, matching, resolve
from autovul.base.report.sections import OWN, Comparison, Network, Section

HEADING = "Where your own networks stand"
ABOUT = (
    "Each of your own networks beside the mean of each group that was measured with it, by the metric of the "
    "experiment's claim. It is called easier or harder to attack where the 95 % interval of the difference over "
    "seeds, for these networks, leaves 0 out; nothing is corrected for the number of rows."
)
ALONE = "None of your own networks was measured beside others in an experiment that has a claim."


@dataclass(frozen=True)
class Standing:
    """One network of the user's own in one experiment.

    Args:
        experiment, section, metric: Where, and by what.
        network: Its runs there.
        comparisons: With each group of which a network was measured.
    """

    experiment: Experiment
    section: Section
    metric: str
    network: Network
    comparisons: Sequence[Comparison]

    @property
    def unit(self) -> str:
        return self.section.unit(self.metric)

    @property
    def rows(self) -> int:
        """How many rows of a table it takes."""
        return max(1, len(self.comparisons))


def standings(sections: Sequence[Section], experiments: Iterable[Experiment]) -> list[list[Standing]]:
    """For each experiment with claims, by the metric of the first: all of the user's own networks that were measured.

    Whether both sides of the claim were is no matter; runs that several experiments share are shown once.
    """
    found: dict[int, list[Standing]] = {}
    for experiment in experiments:
        for siblings in families(sections, experiment):
            for claim in experiment.claims.values():
                for section in siblings:
                    own = _standings(experiment, section, claim.metric, resolve(claim.where, siblings))
                    if own and not section.is_variants:
                        found.setdefault(section.number, own)
    return list(found.values())


def _standings(experiment: Experiment, section: Section, metric: str, where: Mapping[str, Any]) -> list[Standing]:
    networks = matching(section, {**experiment.options, **where})
    groups = [second for first, second in catalogue.COMPARISONS if first == OWN]
    members = [[network for network in networks if network.group == group] for group in groups]
    found = []
    for own in networks:
        if own.group == OWN and own.values(metric):
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
        return "undecided"
    easier = catalogue.metric_info(comparison.metric).easier
    if not easier:
        return "higher" if interval.low > 0 else "lower"
    return f"{'easier' if (interval.low > 0) == (easier > 0) else 'harder'} to attack"


def tone(comparison: Comparison) -> str:
    """How the word is coloured: good, bad or neither."""
    return {"harder to attack": "good", "easier to attack": "bad"}.get(word(comparison), "open")
