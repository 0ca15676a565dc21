"""Whether a verdict survives control: a claim's other readings, equal accuracy and size, training repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from autovul.base.experiments import Control
from autovul.base.experiments.definition import LARGEST, SMALLEST
from autovul.base.report import catalogue, formats, held_out
from autovul.base.report.belonging import matching, resolve
from autovul.base.report.claims import Finding, Reading, read
from autovul.base.report.controlled import Controlled, empty
from autovul.base.report.held_equal import equal_accuracy, equal_size
from autovul.base.report.sections import Network, Section
from autovul.base.report.traits import OF_TRAINING, Trainings
from autovul.base.statistics import Difference, mean_interval

TRAINING, HELD_OUT = "training repeated", "halved by the other seeds"


def controls(finding: Finding, trainings: Trainings, sections: Sequence[Section]) -> list[Controlled]:
    """Every control of a claim about a difference; none for one about a range."""
    if finding.claim.range is not None:
        return []
    declared = finding.claim.controls.items()
    found = [_own(finding, *each) for name, control in declared for each in _numbered(finding, name, control)]
    if finding.experiment.command not in catalogue.OF_WEIGHTS:
        found.append(equal_accuracy(finding, sections, trainings))
    found.append(equal_size(finding, sections))
    if finding.claim.halves in OF_TRAINING:
        found.append(_held_out(finding, finding.claim.halves, trainings))
    if note := weights_note((*finding.reading.first, *finding.reading.second)):
        found.append(empty(finding, TRAINING, note))
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
    return Controlled(
        *(name, metric, reading.unit, reading.difference, goal, tolerance, note.strip()),
        in_general=claim.in_general,
        judged=judged,
    )


def _of_other_networks(reading: Reading, claimed: Reading) -> str:
    """That a control was read on other networks than the claim; else nothing."""
    here, there = ({n.key for n in (*each.first, *each.second)} for each in (reading, claimed))
    if here == there:
        return ""
    return (
        f"Of {formats.plural(len(here), 'network')}, the claim of {len(there)}; {len(here & there)} of them the same."
    )


def _resolved(control: Control, where: Mapping[str, Any]) -> str:
    """What ``largest`` and ``smallest`` came to."""
    return " ".join(f"{name} {where[name]}." for name, value in control.where.items() if value in (LARGEST, SMALLEST))


def _held_out(finding: Finding, trait: str, trainings: Trainings) -> Controlled:
    """Each seed's difference with halves that the other seeds' trainings make, and Student's interval over seeds."""
    reading, claim = finding.reading, finding.claim
    interval = mean_interval(held_out.differences(reading, trait, trainings))
    if interval is None:
        return empty(finding, HELD_OUT, "It takes two seeds of networks on both sides.")
    difference = Difference(interval.estimate, interval, None, None, (len(reading.first), len(reading.second)))
    note = "What a seed's chance gives trait and metric alike is not in it."
    if claim.in_general:
        note += " Judged for these networks; it says nothing of others that could have been drawn."
    judged = not finding.confounds
    return Controlled(
        HELD_OUT, claim.metric, reading.unit, difference, claim.goal, claim.tolerance, note, judged=judged
    )


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
