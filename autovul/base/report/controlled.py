"""A claim's difference under a control, and whether the verdict survives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from autovul.base.report.claims import Finding, Reading
from autovul.base.report.sections import Network
from autovul.base.report.side_names import side_names
from autovul.base.statistics import AdjustedDifference, Difference, Interval, Verdict

Survival = Literal["yes", "no", "undecided", "not known", "not needed"]


@dataclass(frozen=True)
class Covariate:
    """What a control holds equal.

    Args:
        name, unit: Of what it is.
        first, second: Networks and variants of theirs by the claim's sides, each with its value.
        yours: The user's own networks, which are on neither side.
    """

    name: str
    unit: str
    first: tuple[tuple[Network, float], ...]
    second: tuple[tuple[Network, float], ...]
    yours: tuple[tuple[Network, float], ...]

    @classmethod
    def of(cls, name: str, unit: str, reading: Reading, value: Callable[[Network], float | None]) -> Covariate:
        """Of those networks of which it is known."""
        parts = ([(n, value(n)) for n in part] for part in (reading.first, reading.second, reading.yours))
        first, second, yours = (tuple((network, x) for network, x in part if x is not None) for part in parts)
        return cls(name, unit, first, second, yours)


@dataclass(frozen=True)
class Controlled:
    """A claim's difference under one control.

    Args:
        name: Of the control.
        metric, unit: What was read.
        difference: Under the control; None where there is none.
        goal: The claim's, with the sign that it has under the control; None where nothing is claimed.
        tolerance: Half the expected band's width; None where the band belongs to another metric.
        note: What a reader must know, or why there is no difference.
        in_general: Whether it is judged by the wider interval of the two. A line through networks is known no better
            than they lie on it, which the one for these networks leaves out; and no better than each is measured.
        judged: Whether it may be judged at all.
        needed: Whether it asks anything: where all networks have as good as the same of what it holds equal, the
            claim's own difference stands in it, which has passed no test.
        covariate: What is held equal, where a line is drawn for it or would be.
    """

    name: str
    metric: str
    unit: str
    difference: Difference | None
    goal: float | None
    tolerance: float | None
    note: str = ""
    in_general: bool = False
    judged: bool = True
    needed: bool = True
    covariate: Covariate | None = None

    @property
    def line(self) -> AdjustedDifference | None:
        """The lines through both sides, where the difference is one between such."""
        return self.difference if isinstance(self.difference, AdjustedDifference) else None

    @property
    def interval(self) -> Interval | None:
        """The interval that it is judged by."""
        return None if self.difference is None else self.difference.interval(in_general=self.in_general)

    @property
    def verdict(self) -> Verdict | None:
        if self.difference is None or self.goal is None or not self.judged:
            return None
        return self.difference.judged(self.goal, self.tolerance, in_general=self.in_general)

    def survives(self, claimed: Verdict | None) -> Survival:
        """Whether the claim's direction is found under the control as well."""
        if not self.needed:
            return "not needed"
        if claimed is None or self.verdict is None or claimed.direction == "undecided":
            return "not known"
        if self.verdict.direction == claimed.direction:
            return "yes"
        return "undecided" if self.verdict.direction == "undecided" else "no"


def empty(finding: Finding, name: str, note: str) -> Controlled:
    """A control that found nothing to say."""
    return Controlled(name, finding.claim.metric, finding.reading.unit, None, finding.claim.goal, None, note)


def without_a_side(finding: Finding) -> str:
    """That there is nothing to compare, where a side of the claim was not measured; else nothing."""
    sides = zip(side_names(finding.claim), (finding.reading.first, finding.reading.second), strict=True)
    absent = [name for name, measured in sides if not measured]
    return f"No records of {' and of '.join(absent)}." if absent else ""
