"""The report as text in fixed-width columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from autovul.base.report import advice, catalogue, claim_words, coverage, sections, standing, text_tables, wording
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.sections import Section
from autovul.base.report.text_tables import Table

WIDTH = 100


def render(contents: Contents) -> str:
    """Heading, counts, the claims, and for each section its findings, notes and tables."""
    totals = contents.totals
    lines = [wording.QUESTION, "=" * len(wording.QUESTION), *_wrapped(totals.sentence)]
    lines += _wrapped(tally) if (tally := claim_words.tally(contents.findings)) else []
    lines += _columns([(f"  {name}", text) for name, text in totals.lines()], "ll") if contents.results else []
    lines += [] if contents.results else ["", *_wrapped(wording.EMPTY)]
    for path, reason in contents.refused:
        lines += _wrapped(f"Refused: {path}: {reason}")
    for _, text in contents.lost:
        lines += _wrapped(f"In no mean: {text}")
    if sections.OWN in totals.networks:
        lines += ["", standing.HEADING, "-" * len(standing.HEADING)]
        table = text_tables.standings(contents)
        lines += [*_wrapped(standing.ABOUT), "", *_set(table)] if table.rows else [standing.ALONE]
        for note in (note for networks in contents.standings for note in standing.notes(networks)):
            lines += _wrapped(note, "Note: ")
    lines += ["", *_wrapped(wording.NOT_CORRECTED)] if contents.findings else []
    lines += _wrapped(coverage.measured(contents)) if contents.findings else []
    for finding in contents.findings:
        lines += _claim(finding, contents)
    if contents.results and (missing := coverage.not_measured(contents)):
        lines += ["", *_wrapped(missing)]
    for section in contents.sections:
        lines += _section(section)
    return "\n".join(_printable(line).rstrip() for line in lines) + "\n"


def _claim(finding: Finding, contents: Contents) -> list[str]:
    controls = contents.controls[finding.number]
    title = " · ".join([f"Claim {finding.name}: {claim_words.label(finding)}", *finding.conditions])
    lines = ["", title, "-" * len(title), *_wrapped(f"{claim_words.says(finding.experiment, finding.claim)}.")]
    for sentence in filter(None, [*claim_words.sentences(finding), advice.run_this(finding, contents)]):
        lines += _wrapped(sentence, "  ")
    for note in filter(None, [claim_words.notices(finding)]):
        lines += _wrapped(note, "Note: ")
    for table in (text_tables.claim_networks(finding), text_tables.controls(finding, controls).without("Note")):
        lines += ["", *_set(table)] if table.rows else []
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
    means = text_tables.group_means(section)
    lines += ["", *_set(_networks(section))]
    return lines + (["", *_set(means)] if means.rows else [])


def _networks(section: Section) -> Table:
    metric, unit = section.main, section.unit(section.main)
    header = ("Network", "Group", wording.title(metric, unit), "Seeds", "Samples", *wording.FACTS.values(), "")
    rows = tuple(
        (
            network.label,
            catalogue.group_title(network.group),
            wording.value_text(network, metric, unit),
            str(len(network.good)),
            wording.count_text(network, metric),
            *(wording.fact_text(network, name) for name in wording.FACTS),
            wording.status_text(network),
        )
        for network in section.networks
    )
    return Table(header, "llrrrrrrrl", rows)


def _set(table: Table) -> list[str]:
    header, *lines = _columns([table.header, *table.rows], table.alignment)
    return [header, "-" * max(map(len, (header, *lines))), *lines]


def _columns(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(alignment))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, alignment, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _wrapped(text: str, start: str = "") -> list[str]:
    # Commands stay what they are: no break within a word.
    wrapper = textwrap.TextWrapper(WIDTH, start, " " * len(start), break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(text) or [""]


def _printable(line: str) -> str:
    """The line without control characters: a name in a record must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)
