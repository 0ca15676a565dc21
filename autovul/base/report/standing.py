"""Where the user's own networks stand: each beside the groups of others, by the metrics of the claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autovul.base.report import catalogue, wording
from autovul.base.report.belonging import matching
from autovul.base.report.claims import Finding
from autovul.base.report.sections import OWN, Comparison, Network

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
        finding: The claim whose metric it is shown by.
        network: Its runs of the claim.
        comparisons: With each group of which a network was measured.
    """

    finding: Finding
    network: Network
    comparisons: Sequence[Comparison]

    @property
    def unit(self) -> str:
        return self.finding.section.unit(self.finding.claim.metric)

    @property
    def rows(self) -> int:
        """How many rows of a table it takes."""
        return max(1, len(self.comparisons))


def standings(findings: Iterable[Finding]) -> list[list[Standing]]:
    """For each claim's experiment and metric, once, all of the user's own networks that were measured."""
    found: dict[object, list[Standing]] = {}
    for finding in findings:
        section, metric = finding.section, finding.claim.metric
        networks = matching(section, {**finding.experiment.options, **finding.where})
        own = [network for network in networks if network.group == OWN and network.values(metric)]
        key = section.number, metric, repr(finding.where)
        if own and key not in found:
            found[key] = [Standing(finding, each, _comparisons(finding, each, networks)) for each in own]
    return list(found.values())


def _comparisons(finding: Finding, own: Network, networks: Sequence[Network]) -> list[Comparison]:
    groups = [second for first, second in catalogue.COMPARISONS if first == OWN]
    members = ([network for network in networks if network.group == group] for group in groups)
    compared = (finding.section.compare(finding.claim.metric, [own], each) for each in members)
    return [each for each in compared if each is not None]


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
    if interval.low <= 0 <= interval.high:
        return "undecided"
    easier = catalogue.metric_info(comparison.metric).easier
    if not easier:
        return "higher" if interval.low > 0 else "lower"
    return f"{'easier' if (interval.low > 0) == (easier > 0) else 'harder'} to attack"


def tone(comparison: Comparison) -> str:
    """How the word is coloured: good, bad or neither."""
    return {"harder to attack": "good", "easier to attack": "bad"}.get(word(comparison), "open")
