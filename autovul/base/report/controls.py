"""Whether a verdict survives control: a claim's other readings, equal clean accuracy, equal size, repeated training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autovul.base.experiments import Control
from autovul.base.experiments.definition import LARGEST, SMALLEST
from autovul.base.report import catalogue, formats, held_out
from autovul.base.report.belonging import matching, resolve
from autovul.base.report.claims import Finding, Reading, read
from autovul.base.report.sections import Network, Section
from autovul.base.report.side_names import side_names
from autovul.base.report.traits import ACCURACY, OF_TRAINING, Trainings, fact
from autovul.base.statistics import (
    Difference,
    Interval,
    Verdict,
    adjusted_difference,
    mean_interval,
    separable,
    verdict,
)
from autovul.base.statistics.adjustment import LEAST_FOR_A_LINE

CLEAN_ACCURACY, SIZE, TRAINING = "equal clean accuracy", "equal size", "training repeated"
HELD_OUT = "halved by the other seeds"
ALIKE = 1.3  # sizes within this ratio are no explanation, and too like each other to draw a line through
Survival = Literal["yes", "no", "undecided", "not known"]


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

    @property
    def interval(self) -> Interval | None:
        """The interval that it is judged by."""
        if self.difference is None:
            return None
        these, general = self.difference.these_networks, self.difference.architectures
        if not self.in_general or these is None or general is None:
            return general if self.in_general else these
        return max(these, general, key=lambda each: each.high - each.low)

    @property
    def verdict(self) -> Verdict | None:
        if self.interval is None or self.goal is None or not self.judged:
            return None
        return verdict(self.interval, self.goal, self.tolerance)

    def survives(self, claimed: Verdict | None) -> Survival:
        """Whether the claim's direction is found under the control as well."""
        if claimed is None or self.verdict is None or claimed.direction == "undecided":
            return "not known"
        if self.verdict.direction == claimed.direction:
            return "yes"
        return "undecided" if self.verdict.direction == "undecided" else "no"


def controls(finding: Finding, trainings: Trainings, sections: Sequence[Section]) -> list[Controlled]:
    """Every control of a claim about a difference; none for one about a range."""
    if finding.claim.range is not None:
        return []
    declared = finding.claim.controls.items()
    found = [_own(finding, *each) for name, control in declared for each in _numbered(finding, name, control)]
    if finding.experiment.command not in ("train", "validate"):
        found.append(_equal_accuracy(finding, sections, trainings))
    found.append(_equal_size(finding, sections))
    if finding.claim.halves in OF_TRAINING:
        found.append(_held_out(finding, finding.claim.halves, trainings))
    if note := weights_note((*finding.reading.first, *finding.reading.second)):
        found.append(_empty(finding, TRAINING, note))
    return found


def _numbered(finding: Finding, name: str, control: Control) -> list[tuple[str, Control]]:
    """A control by name; one whose metric has a ``*``, once for every number that was measured in its place, if any."""
    if control.metric is None or "*" not in control.metric:
        return [(name, control)]
    runs = (run for section in finding.siblings for network in section.networks for run in network.good)
    measured = {metric for run in runs for metric in run.result.metrics}
    # Metrics write a decimal point as an underscore: accuracy_drop_2_5pct.
    pattern = re.compile(r"(\d+(?:_\d+)?)".join(map(re.escape, control.metric.split("*", 1))))
    found = {float(match[1].replace("_", ".")): match[0] for metric in measured if (match := pattern.fullmatch(metric))}
    each = [
        (name.replace("*", f"{number:,.9g}"), control.model_copy(update={"metric": found[number]}))
        for number in sorted(found)
    ]
    return each or [(name, control)]


def _own(finding: Finding, name: str, control: Control) -> Controlled:
    claim, metric = finding.claim, control.metric or finding.claim.metric
    where = resolve({**claim.where, **control.where}, finding.siblings)
    options = {**finding.experiment.options, **where}
    half_of = finding.reading.half_of
    readings = [(read(matching(section, options), claim, metric, half_of), section) for section in finding.siblings]
    reading, section = max(readings, key=lambda each: bool(each[0].first and each[0].second))
    apart = section.confounds(reading.first, reading.second)
    goal = -claim.goal if claim.goal is not None and control.reversed else claim.goal
    is_other = control.metric not in (None, claim.metric)
    note = ""
    if reading.difference is None:
        values = ", ".join(f"{grid} {value}" for grid, value in where.items())
        title = f"{catalogue.metric_info(metric).title} ({metric})"
        note = f"No records of both sides have {title}{f' under {values}' if values else ''}."
    else:
        unlike = f"No verdict: the sides differ in {formats.listed(apart)}." if apart else ""
        parts = unlike, _of_other_networks(reading, finding.reading), _resolved(control, where)
        note = " ".join(filter(None, parts))
        if control.reversed:
            note += " It falls where the claim's metric rises, so the claimed sign turns."
    tolerance = None if is_other else claim.tolerance
    judged = not (finding.confounds or apart)
    return Controlled(name, metric, reading.unit, reading.difference, goal, tolerance, note.strip(), judged=judged)


def _of_other_networks(reading: Reading, claimed: Reading) -> str:
    """That a control was read on other networks than the claim; else nothing."""
    here, there = ({(n.group, n.name, n.marks) for n in (*each.first, *each.second)} for each in (reading, claimed))
    if here == there:
        return ""
    return (
        f"Of {formats.plural(len(here), 'network')}, the claim of {len(there)}; {len(here & there)} of them the same."
    )


def _resolved(control: Control, where: Mapping[str, Any]) -> str:
    """What ``largest`` and ``smallest`` came to."""
    return " ".join(f"{name} {where[name]}." for name, value in control.where.items() if value in (LARGEST, SMALLEST))


def _without_a_side(finding: Finding) -> str:
    """That there is nothing to compare, where a side of the claim was not measured; else nothing."""
    sides = zip(side_names(finding.claim), (finding.reading.first, finding.reading.second), strict=True)
    absent = [name for name, measured in sides if not measured]
    return f"No records of {' and of '.join(absent)}." if absent else ""


def _equal_accuracy(finding: Finding, sections: Sequence[Section], trainings: Trainings) -> Controlled:
    reading = _with_variants(finding, sections)
    known = _with_covariate(reading, lambda network: trainings.of_network(network, ACCURACY))
    if not all(known):
        note = "No train or validate records give the accuracy of both sides' networks."
        return _empty(finding, CLEAN_ACCURACY, _without_a_side(finding) or note)
    return _adjusted(finding, CLEAN_ACCURACY, reading, known, "clean accuracy", lambda value: f"{value:.1f} %")


def _equal_size(finding: Finding, sections: Sequence[Section]) -> Controlled:
    claim, own = finding.claim, finding.reading
    sizes = [_log_parameters(network) for network in (*own.first, *own.second)]
    known_sizes = [size for size in sizes if size is not None]
    alike = own.difference is not None and len(known_sizes) == len(sizes) and claim.halves != "parameters"
    if alike and max(known_sizes) - min(known_sizes) <= math.log10(ALIKE):
        span = " to ".join(_parameters(size) for size in (min(known_sizes), max(known_sizes)))
        note = f"All have {span} parameters, as good as equally many: the difference is as it stands."
        judged = not finding.confounds
        return Controlled(
            SIZE, claim.metric, own.unit, own.difference, claim.goal, claim.tolerance, note, judged=judged
        )
    reading = _with_variants(finding, sections)
    known = _with_covariate(reading, _log_parameters)
    if not all(known):
        note = "The records do not give the number of parameters of both sides' networks."
        return _empty(finding, SIZE, _without_a_side(finding) or note)
    return _adjusted(finding, SIZE, reading, known, "number of parameters", _parameters)


def _parameters(log_size: float) -> str:
    return formats.large_number(round(10**log_size))


def _log_parameters(network: Network) -> float | None:
    value = fact(network, "parameters")
    return math.log10(value) if value is not None and value > 0 else None


def _with_variants(finding: Finding, sections: Sequence[Section]) -> Reading:
    """The claim's reading with variants of other size, from sections that differ in the size only."""
    own, options = finding.section, {**finding.experiment.options, **finding.where}

    def rest(section: Section) -> dict[str, str]:
        return {name: value for name, value in section.setting.items() if name not in catalogue.SHAPE}

    alike = (
        section
        for section in sections
        if (section.experiment, section.algorithm, section.dataset, section.data_sha256)
        == (own.experiment, own.algorithm, own.dataset, own.data_sha256)
        and rest(section) == rest(own)
    )
    networks = [network for section in alike for network in matching(section, options)]
    return read(networks, finding.claim, finding.claim.metric, finding.reading.half_of)


_Known = tuple[list[tuple[Network, float]], list[tuple[Network, float]]]


def _with_covariate(reading: Reading, value: Callable[[Network], float | None]) -> _Known:
    """Each side's networks of which the value is known, with it."""
    sides = ([(network, value(network)) for network in side] for side in (reading.first, reading.second))
    first, second = ([(network, x) for network, x in side if x is not None] for side in sides)
    return first, second


def _held_out(finding: Finding, trait: str, trainings: Trainings) -> Controlled:
    """Each seed's difference with halves that the other seeds' trainings make, and Student's interval over seeds."""
    reading, claim = finding.reading, finding.claim
    interval = mean_interval(held_out.differences(reading, trait, trainings))
    if interval is None:
        return _empty(finding, HELD_OUT, "It takes two seeds of networks on both sides.")
    difference = Difference(interval.estimate, interval, None, None, (len(reading.first), len(reading.second)))
    note = "What a seed's chance gives trait and metric alike is not in it."
    judged = not finding.confounds
    return Controlled(
        HELD_OUT, claim.metric, reading.unit, difference, claim.goal, claim.tolerance, note, judged=judged
    )


def _adjusted(
    finding: Finding, name: str, reading: Reading, known: _Known, what: str, show: Callable[[float], str]
) -> Controlled:
    """The claim's difference with a covariate held equal, or why that cannot be had."""
    claim, metric = finding.claim, finding.claim.metric
    first, second = ([network.by_seed(metric) for network, _ in side] for side in known)
    covariate = [x for _, x in known[0]], [x for _, x in known[1]]
    names = [(n.group, n.name) for n, _ in known[0]], [(n.group, n.name) for n, _ in known[1]]
    difference = adjusted_difference(first, second, covariate, names)
    networks, rows = len({*names[0], *names[1]}), len(first) + len(second)
    note = f"The {what} is {' against '.join(f'{show(min(side))} to {show(max(side))}' for side in covariate)}"
    if not separable(*covariate, names):
        advice = "Variants of other width or init_channels would tell the two apart."
        note = f"Inseparable. {note}: fewer than two networks of a side are like the other's in it. {advice}"
    elif networks < LEAST_FOR_A_LINE:
        note += f": {LEAST_FOR_A_LINE} networks are the fewest that a line is drawn through."
    else:
        note += ". Judged by the wider interval." if difference else ": it does not vary within the sides."
    if rows > networks:
        note += f" Of {formats.plural(networks, 'network')} in {rows} sizes; each network counts once."
    if (left_out := len((*reading.first, *reading.second)) - rows) > 0:
        note += f" {formats.plural(left_out, 'network')} of which it is not known left out."
    judged = not finding.confounds
    return Controlled(name, metric, reading.unit, difference, claim.goal, claim.tolerance, note, True, judged)


def _empty(finding: Finding, name: str, note: str) -> Controlled:
    return Controlled(name, finding.claim.metric, finding.reading.unit, None, finding.claim.goal, None, note)


def weights_note(networks: Sequence[Network]) -> str:
    """That training does not vary, where seeds of networks share weights; else nothing."""
    shared = [network for network in networks if network.weights_are_shared]
    if not shared:
        return ""
    repeated = sum(len(network.good) > 1 for network in networks)
    who = "all networks" if len(shared) == repeated else formats.listed(network.label for network in shared)
    return (
        f"Seeds share weights ({who}): between them training does not vary, and the intervals are the narrower for it."
    )
