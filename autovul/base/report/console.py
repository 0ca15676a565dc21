"""The report as text in fixed-width columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from autovul.base.report import catalogue, wording
from autovul.base.report.sections import Section
from autovul.base.report.totals import Totals
from autovul.base.result import Result

WIDTH = 100


def render(results: Sequence[Result], refused: Sequence[tuple[Path, str]], sections: Sequence[Section]) -> str:
    """Heading, counts, and for each section its findings, notes and tables."""
    totals = Totals.of(results, refused, sections)
    lines = [wording.QUESTION, "=" * len(wording.QUESTION), *_wrapped(totals.sentence)]
    lines += _table([[f"  {name}", text] for name, text in totals.lines()], "ll") if results else ["", wording.EMPTY]
    for path, reason in refused:
        lines += _wrapped(f"Refused: {path}: {reason}")
    for section in sections:
        lines += _section(section)
    return "\n".join(_printable(line).rstrip() for line in lines) + "\n"


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
