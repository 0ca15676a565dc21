"""The report as Markdown: the claims in full, and every section's group means."""

from __future__ import annotations

import re

from autovul.base.report import advice, claim_words, coverage, sections, standing, text_tables, wording
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.sections import Section
from autovul.base.report.text_tables import Table


def render(contents: Contents) -> str:
    """Heading, a table of all claims, each claim with its networks and controls, the sections."""
    lines = [f"# {wording.QUESTION}", "", escaped(contents.totals.sentence)]
    lines += ["", f"**{escaped(tally)}**"] if (tally := claim_words.tally(contents.findings)) else []
    if not contents.results:
        lines += ["", wording.EMPTY]
    if contents.refused:
        lines += ["", "Files refused and left out:", ""]
        lines += [f"- {escaped(str(path))}: {escaped(reason)}" for path, reason in contents.refused]
    if contents.lost:
        lines += ["", "Runs that diverged or failed and are in no mean:", ""]
        lines += [f"- {escaped(text)}" for _, text in contents.lost]
    if sections.OWN in contents.totals.networks:
        lines += ["", f"## {standing.HEADING}", ""]
        table = text_tables.standings(contents)
        lines += [standing.ABOUT, "", *_set(table)] if table.rows else [standing.ALONE]
        notes = [note for networks in contents.standings for note in standing.notes(networks)]
        lines += ["", *(f"- {escaped(note)}" for note in notes)] if notes else []
    if contents.findings:
        lines += ["", "## Claims", "", wording.NOT_CORRECTED, ""]
        lines += [escaped(measured), ""] if (measured := coverage.measured(contents)) else []
        lines += _set(text_tables.claims(contents))
    for finding in contents.findings:
        lines += _claim(finding, contents)
    if contents.results and (missing := coverage.not_measured(contents)):
        lines += ["", _kept_code(missing)]
    for section in contents.sections:
        lines += _section(section)
    return "\n".join(lines) + "\n"


def _claim(finding: Finding, contents: Contents) -> list[str]:
    lines = ["", f"### {escaped(finding.name)}: {claim_words.label(finding)}", ""]
    says = claim_words.says(finding.experiment, finding.claim)
    lines += [f"{escaped(says)}. On {escaped(', '.join(finding.conditions))}.", ""]
    found = [*claim_words.sentences(finding), advice.run_this(finding, contents)]
    lines += [f"- {_kept_code(sentence)}" for sentence in found if sentence]
    if note := claim_words.notices(finding):
        lines += [f"- {escaped(note)}"]
    tables = text_tables.claim_networks(finding), text_tables.controls(finding, contents.controls[finding.number])
    return lines + [line for table in tables if table.rows for line in ("", *_set(table))]


def _section(section: Section) -> list[str]:
    lines = ["", f"## {escaped(' · '.join([section.title, *section.conditions]))}", ""]
    means = text_tables.group_means(section)
    lines += _set(means) if means.rows else [escaped(wording.nothing_to_compare(section))]
    return lines + ([""] + [f"- {escaped(note)}" for note in notes] if (notes := wording.notes(section)) else [])


def _set(table: Table) -> list[str]:
    """The table in Markdown, its cells escaped."""
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    return [f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no new line."""
    text = "".join(character if character.isprintable() else " " for character in text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|#~]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _kept_code(text: str) -> str:
    """`escaped`, but for the parts between backticks, which our own sentences alone have."""
    parts = text.split("`")
    return "".join(f"`{part}`" if index % 2 else escaped(part) for index, part in enumerate(parts))
