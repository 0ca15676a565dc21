"""The tables that the console, Markdown and LaTeX share, before each of them sets them its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autovul.base.report import catalogue, claim_words, formats, standing, wording
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.controlled import Controlled
from autovul.base.report.relations import Relation, correlation_text
from autovul.base.report.sections import Section
from autovul.base.statistics import Difference, Interval

INTERVALS, P = ("95 %, these networks", "95 %, in general"), "p, in general"


@dataclass(frozen=True)
class Table:
    """A table of plain text.

    Args:
        header: The columns' titles.
        alignment: A letter a column, l or r.
        rows: With as many cells as the header.
    """

    header: tuple[str, ...]
    alignment: str
    rows: tuple[tuple[str, ...], ...]

    def without(self, *titles: str) -> Table:
        """The table without some columns."""
        kept = [index for index, title in enumerate(self.header) if title not in titles]
        header, *rows = (tuple(row[index] for index in kept) for row in (self.header, *self.rows))
        return Table(header, "".join(self.alignment[index] for index in kept), tuple(rows))


def claims(contents: Contents) -> Table:
    """All claims on all data."""
    rows = []
    for finding in contents.findings:
        shown = _difference(finding.reading.difference, finding.reading.unit)
        expected, verdict = claim_words.expectation(finding), claim_words.label(finding)
        survives = claim_words.survivals(contents.controls[finding.number], finding)
        p = _p(finding.reading.difference)
        rows.append((finding.name, ", ".join(finding.conditions), *shown, p, expected, verdict, survives))
    header = ("Claim", "On", "Difference", *INTERVALS, P, "Expected", "Verdict", "Survives")
    return Table(header, "llrrrrrll", tuple(rows))


def standings(contents: Contents) -> Table:
    """The user's own networks beside the groups of others."""
    rows: list[tuple[str, ...]] = []
    names = Counter(networks[0].experiment.name for networks in contents.standings)
    for each in (part for networks in contents.standings for network in networks for part in network.parts):
        name, unit = each.experiment.name, each.unit
        where = " · ".join([name, *(each.section.conditions if names[name] > 1 else [])])
        value = wording.value_text(each.network, each.metric, unit)
        own = (where, wording.title(each.metric, unit), each.network.name, value)
        for comparison in each.comparisons:
            difference, these, _ = _difference(comparison.difference, unit)
            mean = formats.number(comparison.means[1], unit)
            group, word = catalogue.group_title(comparison.second), standing.word(comparison)
            rows.append((*own, group, mean, difference, these, word))
        if not each.comparisons:
            rows.append((*own, *[formats.NONE] * 4, "not measured" if each.missing else formats.NONE))
    header = ("Experiment", "Metric", "Yours", "Value", "Beside", "Mean", "Difference", INTERVALS[0], "It is")
    return Table(header, "lllrlrrrl", tuple(rows))


def claim_networks(finding: Finding) -> Table:
    """The networks that a claim reads."""
    metric, unit = finding.reading.metric, finding.reading.unit
    rows = tuple(
        (n.label, catalogue.group_title(n.group), wording.value_text(n, metric, unit), str(len(n.values(metric))))
        for n in finding.reading.networks
    )
    return Table(("Network", "Group", wording.title(metric, unit), "Seeds"), "llrr", rows)


def controls(finding: Finding, controlled: Sequence[Controlled]) -> Table:
    """A claim under its controls."""
    rows = tuple(
        (
            *(each.name, *_difference(each.difference, each.unit)),
            *(_p(each.difference), claim_words.survival(each, finding), each.note),
        )
        for each in controlled
    )
    return Table(("Under control", "Difference", *INTERVALS, P, "Verdict", "Note"), "lrrrrll", rows)


def relations(found: Sequence[Relation]) -> Table:
    """What a claim's metric goes with: each rank correlation over all networks, then within groups."""
    rows = []
    for each in found:
        groups = [point.network.group for point in each.points]
        rows.append((each.fact, "all", str(len(groups)), _correlation(each.correlation)))
        rows += [
            ("", catalogue.group_title(group), str(groups.count(group)), _correlation(interval))
            for group, interval in each.within.items()
        ]
    return Table(("Against", "Within", "Networks", "Rank correlation (95 %)"), "llrr", tuple(rows))


def _correlation(interval: Interval | None) -> str:
    return formats.NONE if interval is None else correlation_text(interval)


def group_means(section: Section) -> Table:
    """A section's groups compared, metric by metric."""
    rows = []
    for comparison in section.comparisons:
        unit, difference = section.unit(comparison.metric), comparison.difference
        means = " / ".join(formats.number(mean, unit) for mean in comparison.means)
        metric, pair = wording.title(comparison.metric, unit), wording.pair_text(comparison)
        rows.append((metric, pair, means, *_difference(difference, unit), _p(difference)))
    return Table(("Metric", "Groups", "Means", "Difference", *INTERVALS, P), "llrrrrr", tuple(rows))


def _p(difference: Difference | None) -> str:
    """That of the permutation test; a difference between two lines has none."""
    permutation = difference.permutation if difference else None
    return formats.p_text(permutation.p_value) if permutation else formats.NONE


def _difference(difference: Difference | None, unit: str) -> tuple[str, str, str]:
    """A difference and its two intervals."""
    if difference is None:
        return formats.NONE, formats.NONE, formats.NONE
    these, general = difference.these_networks, difference.architectures
    return (
        formats.with_unit(difference.estimate, unit, signed=True),
        formats.interval_text(these, unit, signed=True),
        formats.interval_text(general, unit, signed=True),
    )
