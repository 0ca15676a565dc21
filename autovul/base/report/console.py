"""The report as text in fixed-width columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from autovul.base.report import catalogue, claim_words, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controls import Controlled
from autovul.base.report.sections import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autovul.base.report.contents import Contents

WIDTH = 100


def render(contents: Contents) -> str:
    """Heading, counts, the claims, and for each section its findings, notes and tables."""
    totals = contents.totals
    lines = [wording.QUESTION, "=" * len(wording.QUESTION), *_wrapped(totals.sentence)]
    lines += _table([[f"  {name}", text] for name, text in totals.lines()], "ll") if contents.results else []
    lines += [] if contents.results else ["", *_wrapped(wording.EMPTY)]
    for path, reason in contents.refused:
        lines += _wrapped(f"Refused: {path}: {reason}")
    for _, text in contents.lost:
        lines += _wrapped(f"In no mean: {text}")
    for finding in contents.findings:
        lines += _claim(finding, contents.controls[finding.number])
    if contents.results and (missing := claim_words.open_claims(contents.experiments, contents.findings)):
        lines += ["", "Claims without results", "----------------------"]
        for name, says, command in missing:
            lines += _wrapped(f"{name}: the paper says that {says}. Run: {command}")
    for section in contents.sections:
        lines += _section(section)
    return "\n".join(_printable(line).rstrip() for line in lines) + "\n"


def _claim(finding: Finding, controls: Sequence[Controlled]) -> list[str]:
    title = " · ".join([f"Claim {finding.name}: {claim_words.label(finding)}", *finding.conditions])
    lines = ["", title, "-" * len(title), *_wrapped(f"The paper says that {finding.claim.says}.")]
    for sentence in claim_words.sentences(finding):
        lines += _wrapped(sentence, "  ")
    for note in filter(None, [claim_words.unmeasured(finding)]):
        lines += _wrapped(note, "Note: ")
    metric, unit = finding.reading.metric, finding.reading.unit
    rows = [
        [network.label, catalogue.group_title(network.group), wording.value_text(network, metric, unit)]
        for network in finding.reading.networks
    ]
    if rows:
        lines += ["", *_table([["Network", "Group", wording.title(metric, unit)], *rows], "llr", ruled=True)]
    if controls:
        rows = [
            [
                each.name,
                wording.number(each.difference.estimate if each.difference else None, each.unit, signed=True),
                wording.interval_text(each.interval, each.unit, signed=True),
                claim_words.survival(each, finding),
            ]
            for each in controls
        ]
        header = ["Under control", "Difference", "These networks", "Verdict"]
        lines += ["", *_table([header, *rows], "lrrl", ruled=True)]
        for each in controls:
            if each.note:
                lines += _wrapped(f"{each.name}: {each.note}", "  ")
    return lines


def _section(section: Section) -> list[str]:
    title = " · ".join([section.title, *section.conditions])
    lines = ["", title, "-" * len(title)]
    for comparison in section.comparisons:
        if comparison.metric == section.main:
            unit = section.unit(section.main)
            lines += _wrapped(wording.headline(comparison, unit))
            for caveat in wording.caveats(comparison, unit):
                lines += _wrapped(caveat, "  ")
    if not section.comparisons:
        lines += _wrapped(wording.nothing_to_compare(section))
    for note in wording.notes(section):
        lines += _wrapped(note, "Note: ")
    lines += ["", *_networks(section)]
    means = _group_means(section)
    return lines + (["", *means] if means else [])


def _networks(section: Section) -> list[str]:
    metric, unit = section.main, section.unit(section.main)
    header = ["Network", "Group", wording.title(metric, unit), "Seeds", "Samples", *wording.FACTS.values(), ""]
    rows = [
        [
            network.label,
            catalogue.group_title(network.group),
            wording.value_text(network, metric, unit),
            str(len(network.good)),
            wording.count_text(network, metric),
            *(wording.fact_text(network, name) for name in wording.FACTS),
            wording.status_text(network),
        ]
        for network in section.networks
    ]
    return _table([header, *rows], "llrrrrrrrl", ruled=True)


def _group_means(section: Section) -> list[str]:
    header = ["Metric", "Groups", "Means", "Difference", "These networks", "In general", "p"]
    rows = []
    for comparison in section.comparisons:
        unit, difference = section.unit(comparison.metric), comparison.difference
        rows.append(
            [
                wording.title(comparison.metric, unit),
                wording.pair_text(comparison),
                " / ".join(wording.number(mean, unit) for mean in comparison.means),
                wording.number(difference.estimate, unit, signed=True),
                wording.interval_text(difference.these_networks, unit, signed=True),
                wording.interval_text(difference.architectures, unit, signed=True),
                wording.p_text(difference.permutation.p_value) if difference.permutation else wording.NONE,
            ]
        )
    return _table([header, *rows], "llrrrrr", ruled=True) if rows else []


def _table(rows: list[list[str]], alignment: str, ruled: bool = False) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(alignment))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, alignment, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    if ruled:
        lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def _wrapped(text: str, start: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [""]


def _printable(line: str) -> str:
    """The line without control characters: a name in a record must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)
