"""A claim about the range that networks' values lie in: which networks it is about, and how many lie in it."""

from __future__ import annotations

from collections.abc import Iterator

from autovul.base.report import catalogue, formats
from autovul.base.report.belonging import same
from autovul.base.report.claims import Finding
from autovul.base.report.sections import Network
from autovul.base.report.settings import option_text


def of_other_data(finding: Finding) -> bool:
    """Whether the claim is about another data set than the one that was measured."""
    return finding.claim.data not in (None, finding.section.dataset)


def counted(finding: Finding) -> list[Network]:
    """The networks that the claim judges: where it is about a data set, those in their published size on it."""
    if of_other_data(finding):
        return []
    return [each for each in finding.reading.first if finding.claim.data is None or not each.marks]


def inside(finding: Finding) -> list[Network]:
    """Those of them whose mean lies in the range."""
    return [each for each in counted(finding) if _place(finding, each) == 0]


def _place(finding: Finding, network: Network) -> int:
    """-1 below the range, 0 in it, 1 above."""
    low, high = finding.claim.range or (0.0, 0.0)
    mean = network.mean(finding.reading.metric) or 0.0
    return (mean > high) - (mean < low)


def label(finding: Finding) -> str:
    """How many lie in it, in a few words, or why that is not said; empty where nothing was measured."""
    if not finding.reading.first:
        return ""
    if of_other_data(finding):
        return f"not judged: about {finding.claim.data}"
    networks = len(counted(finding))
    return f"{len(inside(finding))} of {networks} inside" if networks else "not judged: none in its published size"


def sentences(finding: Finding, expected: str) -> Iterator[str]:
    """The same in sentences, with what else the networks are unlike those that the claim is about."""
    metric, shown = finding.reading.metric, finding.reading.unit
    title, networks, judged = catalogue.metric_info(metric).title, finding.reading.first, counted(finding)
    if judged:
        places = [_place(finding, network) for network in judged]
        there = places.count(0)
        share = f"{there} of {formats.plural(len(judged), 'network')} ({100 * there / len(judged):.0f} %)"
        yield f"{title}: {share} lie in {expected}; {places.count(-1)} below it, {places.count(1)} above."
    else:
        means = [network.mean(metric) or 0.0 for network in networks]
        span = " to ".join(dict.fromkeys(formats.with_unit(end, shown) for end in (min(means), max(means))))
        yield f"{title}: {span} over {formats.plural(len(networks), 'network')}; {expected} is claimed."
    if of_other_data(finding):
        yield f"The claim is about {finding.claim.data}; these are {finding.section.dataset}, which it says nothing of."
        return
    if other := [network.label for network in networks if network not in judged]:
        yield f"Not judged, since not in the published size that the claim is about: {formats.listed(other, 8)}."
    if finding.claim.data and (changes := _schedule(finding)):
        yield f"Trained otherwise than the claim's networks: {formats.listed(changes, 8)}."


def _schedule(finding: Finding) -> list[str]:
    """What of the experiment's schedule its runs did not keep."""
    found = []
    for name, wanted in finding.experiment.schedule.items():
        runs = (run.result.options for network in finding.reading.first for run in network.good)
        other = [options[name] for options in runs if name in options and not same(options[name], wanted)]
        if other:
            values = formats.listed(dict.fromkeys(map(option_text, other)), 4)
            found.append(f"{name} {values} in place of {option_text(wanted)}")
    return found
