"""Findings in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autovul.base.report import catalogue, unmeasured
from autovul.base.report.formats import (
    MINUS,
    NONE,
    interval_text,
    large_number,
    listed,
    number,
    p_text,
    plural,
    with_unit,
)
from autovul.base.report.sections import Comparison, Network, Section
from autovul.base.report.settings import option_text
from autovul.base.result import Metric, Result
from autovul.base.statistics import Interval
from autovul.base.statistics.groups import DECIDED

QUESTION = "Does design make a network easier to attack?"
EMPTY = (
    "Make results first, then run `autovul report` again; for example `autovul train --dataset digits --epoch 2`,"
    " then `autovul adv_attack --dataset digits --pretrain`."
)
NOT_CORRECTED = (
    "Every interval stands for itself: nothing is corrected for the number of claims and controls, and of twenty"
    " comparisons without any difference one is expected to leave 0 out."
)
FACTS = {"parameters": "Parameters", "multiply_adds": "Multiply-adds", "depth": "Depth", "skips": "Skips"}


def value_text(network: Network, metric: str, unit: str) -> str:
    """A network's mean, with ± half the interval over seeds where there are several; words where there is none."""
    interval = network.seed_interval(metric)
    if network.mean(metric) is None and unmeasured.why(network, metric):
        return "not measured"
    mean = number(network.mean(metric), unit)
    if interval is None:
        return mean
    decimals = len(mean.partition(".")[2]) if "e" not in mean else None
    return f"{mean} ± {number(interval.margin, unit) if decimals is None else f'{interval.margin:.{decimals}f}'}"


def fact_text(network: Network, name: str) -> str:
    """A fact of a network for the table."""
    value = network.facts.get(name)
    return large_number(value) if name in ("parameters", "multiply_adds") else NONE if value is None else str(value)


def count_text(network: Network, metric: str) -> str:
    """The number of samples a network's values are over."""
    counts = network.counts(metric)
    if not counts:
        return NONE
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def status_text(network: Network) -> str:
    """Why some runs of a network do not count; empty where all do."""
    return ", ".join(f"{count} {status}" for status, count in network.troubles.items())


def title(metric: str, unit: str) -> str:
    """A metric's title with its unit."""
    name = catalogue.metric_info(metric).title
    return f"{name}, {unit}" if unit else name


def exact_text(metric: Metric) -> str:
    """A metric as it was recorded, with unit and count."""
    value = "not measured" if metric.value is None else f"{metric.value:.8g} {metric.unit}".strip()
    return value if metric.count is None else f"{value} (n = {metric.count:,})"


def pair_text(comparison: Comparison) -> str:
    """Which groups are compared, as a difference."""
    return f" {MINUS} ".join(comparison.titles)


def nothing_to_compare(section: Section) -> str:
    """Why a section has no comparison of groups."""
    measured = [group for group in section.groups if section.members(group, section.main)]
    if not measured:
        return "No run here has a value of the main metric: there is nothing to compare."
    groups = listed(catalogue.group_title(group) for group in measured)
    if len(measured) > 1:
        return f"Groups that are not compared with each other were measured: {groups}."
    return f"Only networks of one group ({groups}) were measured: there are no groups to compare."


def headline(comparison: Comparison, unit: str) -> str:
    """The difference of two group means in one sentence."""
    first, second = comparison.titles
    metric, estimate = catalogue.metric_info(comparison.metric), comparison.difference.estimate
    means = f"{first} {with_unit(comparison.means[0], unit)}, {second} {with_unit(comparison.means[1], unit)}"
    size = number(abs(estimate), unit)
    if not size.strip("0."):
        return f"{metric.title}: {means}: no difference."
    points = " points" if unit == "%" else f" {unit}" if unit else ""
    meaning, turned = "", below_chance(comparison.metric, comparison.means)
    if comparison.confounded:
        meaning = ", under different conditions"
    elif comparison.doubtful:
        meaning = f"; {not_judged(comparison.doubtful)}"
    elif metric.easier:
        gains = _distances(comparison.metric, comparison.means) or comparison.means
        meaning = f", that is {'easier' if (gains[0] - gains[1]) * metric.easier > 0 else 'harder'} to attack"
    found = f"{metric.title}: {means}. {first} is {size}{points} {'higher' if estimate > 0 else 'lower'}{meaning}."
    return f"{found} {turned}".rstrip()


def not_judged(doubtful: Sequence[str]) -> str:
    """That nothing is judged on account of doubtful networks."""
    return f"not judged: {plural(len(doubtful), 'network')} doubtful"


def below_chance(metric: str, means: Sequence[float]) -> str:
    """What counts where a score is worse than guessing; else nothing."""
    distances, chance = _distances(metric, means), catalogue.metric_info(metric).chance
    if not distances:
        return ""
    counts = " against ".join(map(number, distances))
    return f"An attacker turns a score below {chance:g} round, so that its distance from {chance:g} counts: {counts}."


def _distances(metric: str, means: Sequence[float]) -> list[float]:
    """How far scores are from guessing, where one is worse than that and an attacker would turn it round; else none."""
    chance = catalogue.metric_info(metric).chance
    return [] if chance is None or min(means) >= chance else [abs(mean - chance) for mean in means]


def caveats(comparison: Comparison, unit: str) -> list[str]:
    """What the comparison shows of these networks and of architectures in general, and what it cannot show."""
    if comparison.difference.networks == (1, 1):
        scope = "One network of each group: a comparison of two networks, not of groups."
        return [scope, _about_these_networks(comparison, unit)]
    if comparison.own:
        return [_about_these_networks(comparison, unit)]
    return [_about_these_networks(comparison, unit), _about_architectures(comparison, unit)]


def _about_these_networks(comparison: Comparison, unit: str) -> str:
    interval = comparison.difference.these_networks
    if interval is None:
        return (
            "These networks: too few repetitions (a group has one seed a network), so how much of the difference is"
            " chance is not known."
        )
    span = f"95 % interval over seeds {interval_text(interval, unit, signed=True)}"
    if interval.low == interval.high:
        return f"These networks: {span}. All seeds gave the same values; chance in the choice of images is not in it."
    if comparison.doubtful:
        return f"These networks: {span}; {not_judged(comparison.doubtful)}."
    found = "chance between seeds does not explain the difference" if interval.excludes_zero else "undecided"
    few = " Some networks have fewer than three seeds, which are few." if comparison.least_seeds < 3 else ""
    return f"These networks: {span}: {found}.{few}"


def _about_architectures(comparison: Comparison, unit: str) -> str:
    interval, permutation = comparison.difference.architectures, comparison.difference.permutation
    first, second = comparison.difference.networks
    sizes = f"{first} against {second} networks"
    if interval is None or permutation is None:
        return f"Architectures in general: {sizes}; with one network in a group nothing can be said."
    span = f"95 % interval {interval_text(interval, unit, signed=True)}, {p_phrase(permutation.p_value)}"
    if comparison.doubtful:
        return f"Architectures in general: {sizes}, {span}."
    if interval.excludes_zero and permutation.p_value <= DECIDED:
        found = "the groups differ by more than their networks differ among themselves"
    else:
        found = "undecided: networks of one group differ too much among themselves, or are too few"
    return f"Architectures in general: {sizes}, {span}: {found}."


def p_phrase(value: float) -> str:
    """A p-value within a sentence."""
    return f"permutation p {'' if value < 0.001 else '= '}{p_text(value)}"


def share_text(share: Interval) -> str:
    """How much of the spread within the sides is the networks' own."""
    low, middle, high = (f"{100 * value:.0f}" for value in (share.low, share.estimate, share.high))
    return (
        f"Design against chance: of the variance of single runs within the sides, {middle} % (95 % interval {low} to"
        f" {high} %) lies between networks, the rest between seeds of one network."
    )


def lost_text(result: Result) -> str:
    """A run that does not count: which, and why."""
    what = " ".join(dict.fromkeys(part for part in (result.experiment, result.algorithm, result.model) if part))
    reason = f": {result.message}" if result.message else ""
    return f"{what} on {result.dataset}, seed {result.seed}, {result.status}{reason}"


def notes(section: Section) -> list[str]:
    """What a reader must know before comparing the section's figures."""
    found = []
    if section.several_data:
        found.append(
            f"Records name several different data “{section.dataset}”. Each has its own section; none are pooled."
        )
    if section.differing:
        names = listed(section.differing, limit=99)
        details = " ".join(f"{name}: {_holders(holders)}." for name, holders in section.differing.items())
        found.append(f"These runs differ in {names}, so compare them with care. {details}")
    troubled = [f"{network.label}: {status_text(network)}" for network in section.networks if network.troubles]
    if troubled:
        found.append(f"Runs that diverged or failed are counted but are in no mean: {listed(troubled, 8)}.")
    for network in section.networks:
        if why := unmeasured.why(network, section.main):
            found.append(f"{network.label}: {why}.")
    if section.replaced:
        older = plural(section.replaced, "older record of the same run was", "older records of the same runs were")
        found.append(f"{older} left aside; the newest counts.")
    for network in section.networks:
        found += [f"{network.label} is doubtful: {doubt}." for doubt in network.doubts]
    if section.remade:
        found.append(
            f"Records of {listed(section.remade)} from before its code or cells changed were left aside: under the "
            "same name that is another network."
        )
    if shared := [network.label for network in section.networks if network.weights_are_shared]:
        who = "every network" if len(shared) == len(section.networks) else listed(shared)
        found.append(
            f"Seeds of {who} share weights: intervals over them hold the attack's chance, and training's not fully."
        )
    arithmetic: dict[str, list[str]] = {}
    for network in section.networks:
        for precision in sorted({str(run.result.environment.get("precision", "")) for run in network.runs} - {""}):
            arithmetic.setdefault(precision, []).append(network.label)
    if len(arithmetic) > 1:
        found.append(f"Trainings of these runs were computed in different arithmetic: {_holders(arithmetic)}.")
    versions = {str(result.environment.get("code_version")) for result in section.results} - {"None"}
    if len(versions) > 1:
        found.append(f"These runs were made by {len(versions)} versions of the code.")
    return found


def _holders(holders: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{value} ({listed(networks, 4)})" for value, networks in holders.items()]
    return listed(parts, 6)


def record_lines(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A mapping as lines of name and text, nested ones joined by a dot."""
    lines: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            lines += [(f"{name}.{inner}", text) for inner, text in record_lines(value)]
        else:
            lines.append((name, option_text(value)))
    return lines
