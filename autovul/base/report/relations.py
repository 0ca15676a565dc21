"""The relations that the paper argues for: what a network's vulnerability goes with, over networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autovul.base.report import catalogue, formats, wording
from autovul.base.report.claims import Finding
from autovul.base.report.figures import Axis
from autovul.base.report.scatter import Point, Scatter, axes, place
from autovul.base.report.sections import Network
from autovul.base.report.traits import Trainings
from autovul.base.statistics import Interval, rank_correlation
from autovul.base.statistics.association import LEAST_FOR_CORRELATION

GRADIENT_VARIANCE = "gradient variance"
SHOWN = ("early_train_loss", "depth", "skips")
_Key = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Relation:
    """A claim's metric against a fact of the networks.

    Args:
        fact, metric, unit: What the two axes are.
        points: The claim's networks that have both.
        yours: The user's own that have both: drawn, and in no correlation.
        correlation: Spearman's, over all points; None where one of the two does not vary.
        within: The same within a group, by group: what is left once the groups' difference is taken out.
        missing: How many networks of the claim lack the fact.
    """

    fact: str
    metric: str
    unit: str
    points: tuple[Point, ...]
    yours: tuple[Point, ...]
    correlation: Interval | None
    within: Mapping[str, Interval]
    missing: int
    x_axis: Axis
    y_axis: Axis

    @property
    def title(self) -> str:
        return f"{wording.title(self.metric, self.unit)} against {self.fact}"

    @property
    def figure(self) -> Scatter:
        points = *self.points, *self.yours
        return Scatter(self.title, self.unit, points, (), self.x_axis, self.y_axis, self.sentence)

    @property
    def sentence(self) -> str:
        """What the correlation says, and what it cannot."""
        count = formats.plural(len(self.points), "network")
        if self.correlation is None:
            return f"{count} that do not differ in one of the two: no correlation."
        found = f"Rank correlation {correlation_text(self.correlation)} over {count}: {self._finding}."
        parts = [
            f"{catalogue.group_title(group)} {correlation_text(interval)}" for group, interval in self.within.items()
        ]
        if parts:
            found += f" Within groups: {formats.listed(parts)}."
        return (
            f"{found} {formats.plural(self.missing, 'network lacks', 'networks lack')} it." if self.missing else found
        )

    @property
    def _finding(self) -> str:
        """By what is left within the groups, since a difference of the groups alone makes a correlation over both."""
        if len({point.network.group for point in self.points}) == 1:
            return _in_words(self.correlation)
        words = {catalogue.group_title(group): _in_words(interval) for group, interval in self.within.items()}
        if not words:
            return "the groups are too small to tell it from their difference"
        found = dict.fromkeys(words.values())
        return ", ".join(f"{word} within {formats.listed(g for g in words if words[g] == word)}" for word in found)


def _in_words(interval: Interval | None) -> str:
    if interval is None or not interval.excludes_zero:
        return "undecided"
    return "the two rise together" if interval.low > 0 else "one falls as the other rises"


def correlation_text(interval: Interval) -> str:
    """``+0.61 (+0.18 to +0.85)``."""
    low, high = (f"{value:+.2f}".replace("-", formats.MINUS) for value in (interval.low, interval.high))
    return f"{interval.estimate:+.2f} ({low} to {high})".replace("-", formats.MINUS)


def relations(findings: Sequence[Finding], trainings: Trainings) -> dict[int, list[Relation]]:
    """Each difference claim's metric against gradient variance and the traits `SHOWN`, by the finding's number."""
    variances = _gradient_variances(findings)
    found: dict[int, list[Relation]] = {}
    for finding in findings:
        if finding.claim.range is not None or finding.reading.difference is None:
            continue
        facts: dict[str, Callable[[Network], float | None]] = {}
        known = variances.get((finding.section.dataset, finding.section.data_sha256), {})
        if finding.experiment.command != "grad_var" and known:
            facts[GRADIENT_VARIANCE + ", log10"] = lambda network, known=known: known.get(network.key)  # type: ignore[misc]
        for name in SHOWN:
            if name != finding.reading.metric:
                facts[catalogue.TRAITS[name].title] = functools.partial(trainings.trait, name=name)
        drawn = [relation(finding, title, value) for title, value in facts.items()]
        found[finding.number] = [each for each in drawn if each is not None]
    return found


def relation(finding: Finding, fact: str, value: Callable[[Network], float | None]) -> Relation | None:
    """A claim's metric against one fact; None where too few networks have it for a correlation."""
    reading = finding.reading
    claimed = [network for network in reading.networks if network not in reading.yours]
    known, yours = (
        [(n, x, y) for n in part if (x := value(n)) is not None and (y := n.mean(reading.metric)) is not None]
        for part in (claimed, reading.yours)
    )
    if len(known) < LEAST_FOR_CORRELATION:
        return None
    xs, ys = [x for _, x, _ in known], [y for _, _, y in known]
    x_axis, y_axis = between = axes((x, y) for _, x, y in (*known, *yours))
    points, own_points = (tuple(Point(n, x, y, *place(x, y, between)) for n, x, y in part) for part in (known, yours))
    within = {}
    for group in sorted({network.group for network, _, _ in known}, key=catalogue.group_rank):
        own = [(x, y) for network, x, y in known if network.group == group]
        interval = rank_correlation([x for x, _ in own], [y for _, y in own])
        if interval is not None and len(own) < len(known):
            within[group] = interval
    missing, correlation = len(claimed) - len(known), rank_correlation(xs, ys)
    return Relation(
        *(fact, reading.metric, reading.unit, points, own_points, correlation, within, missing, x_axis, y_axis)
    )


def _gradient_variances(findings: Iterable[Finding]) -> dict[tuple[str, str], dict[_Key, float]]:
    """Each network's gradient variance as its claim reads it, by data."""
    found: dict[tuple[str, str], dict[_Key, float]] = {}
    for finding in findings:
        if finding.experiment.command == "grad_var":
            data = found.setdefault((finding.section.dataset, finding.section.data_sha256), {})
            for network in finding.reading.networks:
                mean = network.mean(finding.reading.metric)
                if mean is not None:
                    data[network.key] = mean
    return found
