"""Controls that hold a fact of the networks equal: their clean accuracy, their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from autovul.base.report import catalogue, formats
from autovul.base.report.belonging import matching
from autovul.base.report.claims import Finding, Reading, read
from autovul.base.report.controlled import Controlled, Covariate, empty, without_a_side
from autovul.base.report.sections import Network, Section
from autovul.base.report.side_names import side_names
from autovul.base.report.traits import ACCURACY, Trainings, fact
from autovul.base.statistics import AdjustedDifference, adjusted_difference, separable
from autovul.base.statistics.adjustment import LEAST_FOR_A_LINE

CLEAN_ACCURACY, SIZE = "equal clean accuracy", "equal size"
ALIKE = 1.3  # sizes within this ratio are no explanation, and too like each other to draw a line through


def equal_accuracy(finding: Finding, sections: Sequence[Section], trainings: Trainings) -> Controlled:
    """The claim with the clean accuracy of the weights attacked held equal."""
    if absent := without_a_side(finding):
        return empty(finding, CLEAN_ACCURACY, absent)
    reading = _with_variants(finding, sections)
    accuracy = Covariate.of("clean accuracy", "%", reading, lambda network: trainings.of_network(network, ACCURACY))
    if not (accuracy.first and accuracy.second):
        note = "No train or validate records give the accuracy of both sides' networks."
        return empty(finding, CLEAN_ACCURACY, note)
    return _adjusted(finding, CLEAN_ACCURACY, reading, accuracy, lambda value: f"{value:.1f} %")


def equal_size(finding: Finding, sections: Sequence[Section]) -> Controlled:
    """The claim with the logarithm of the number of parameters held equal; as it stands where all are as good as so."""
    if absent := without_a_side(finding):
        return empty(finding, SIZE, absent)
    claim, own = finding.claim, finding.reading
    networks = (*own.first, *own.second)
    sizes = [size for network in networks if (size := _log_parameters(network)) is not None]
    is_known = len(sizes) == len(networks) and claim.halves != "parameters"
    if is_known and max(sizes) - min(sizes) <= math.log10(ALIKE):
        span = " to ".join(_parameters(size) for size in (min(sizes), max(sizes)))
        note = f"All have {span} parameters, as good as equally many: the difference is as it stands."
        return Controlled(
            SIZE, claim.metric, own.unit, own.difference, claim.goal, claim.tolerance, note, judged=False, needed=False
        )
    reading = _with_variants(finding, sections)
    parameters = Covariate.of("number of parameters", "log10", reading, _log_parameters)
    if not (parameters.first and parameters.second):
        note = "The records do not give the number of parameters of both sides' networks."
        return empty(finding, SIZE, note)
    return _adjusted(finding, SIZE, reading, parameters, _parameters)


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


def _adjusted(
    finding: Finding, name: str, reading: Reading, covariate: Covariate, show: Callable[[float], str]
) -> Controlled:
    """The claim's difference with a covariate held equal, or why that cannot be had."""
    claim = finding.claim
    sides = covariate.first, covariate.second
    first, second = ([network.by_seed(claim.metric) for network, _ in side] for side in sides)
    values = [x for _, x in covariate.first], [x for _, x in covariate.second]
    names = [(n.group, n.name) for n, _ in covariate.first], [(n.group, n.name) for n, _ in covariate.second]
    difference = adjusted_difference(first, second, values, names)
    networks, rows = len({*names[0], *names[1]}), len(first) + len(second)
    note = f"The {covariate.name} is {' against '.join(f'{show(min(side))} to {show(max(side))}' for side in values)}"
    if not separable(*values, names):
        advice = "Variants of other width or init_channels would tell the two apart."
        note = f"Inseparable. {note}: fewer than two networks of a side are like the other's in it. {advice}"
    elif networks < LEAST_FOR_A_LINE:
        note += f": {LEAST_FOR_A_LINE} networks are the fewest that a line is drawn through."
    else:
        note += ". Judged by the wider interval." if difference else ": it does not vary within the sides."
    if rows > networks:
        note += f" With {formats.plural(rows - networks, 'variant')} of other size; each network counts once."
    if (left_out := len((*reading.first, *reading.second)) - rows) > 0:
        who = formats.plural(left_out, "network or variant", "networks or variants")
        note += f" {who} of unknown {covariate.name} left out."
    if difference is not None:
        note = " ".join([note, *_yours(finding, covariate, difference)])
    # With one seed a network what chance does is not known, but for a claim about what networks were drawn from.
    is_known = difference is not None and (claim.in_general or difference.these_networks is not None)
    return Controlled(
        name,
        claim.metric,
        reading.unit,
        difference,
        claim.goal,
        claim.tolerance,
        note,
        in_general=True,
        judged=is_known and not finding.confounds,
        covariate=covariate,
    )


def _yours(finding: Finding, covariate: Covariate, line: AdjustedDifference) -> Iterator[str]:
    """What the lines of both sides give for each of the user's own networks, beside what was measured."""
    values = [x for _, x in (*covariate.first, *covariate.second)]
    unit = finding.reading.unit
    for network, x in covariate.yours:
        value = network.mean(finding.claim.metric)
        if not min(values) <= x <= max(values):
            yield f"{network.label} lies beyond the others' {covariate.name}."
        elif value is not None:
            given = (
                f"{formats.with_unit(level + line.slope * x, unit)} ({side})"
                for level, side in zip(line.levels, side_names(finding.claim), strict=True)
            )
            yield (
                f"{network.label} has {formats.with_unit(value, unit)}, and at its {covariate.name} the lines give "
                f"{' and '.join(given)}."
            )
