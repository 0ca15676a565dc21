"""The report as Markdown: the claims in full, and every section's group means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autovul.base.report import catalogue, claim_words, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controls import Controlled
from autovul.base.report.sections import Section

if TYPE_CHECKING:
    from autovul.base.report.contents import Contents


def render(contents: Contents) -> str:
    """Heading, a table of all claims, each claim with its networks and controls, the sections."""
    lines = [f"# {wording.QUESTION}", "", escaped(contents.totals.sentence)]
    if not contents.results:
        lines += ["", wording.EMPTY]
    if contents.refused:
        lines += ["", "Files refused and left out:", ""]
        lines += [f"- {escaped(str(path))}: {escaped(reason)}" for path, reason in contents.refused]
    if contents.lost:
        lines += ["", "Runs that diverged or failed and are in no mean:", ""]
        lines += [f"- {escaped(text)}" for _, text in contents.lost]
    if contents.findings:
        lines += ["", "## The paper's claims", "", *_overview(contents)]
    for finding in contents.findings:
        lines += _claim(finding, contents.controls[finding.number])
    if contents.results and (missing := claim_words.open_claims(contents.experiments, contents.findings)):
        lines += ["", "## Claims without results", ""]
        lines += [f"- {escaped(name)}: {escaped(says)}. Run `{command}`." for name, says, command in missing]
    for section in contents.sections:
        lines += _section(section)
    return "\n".join(lines) + "\n"


def _overview(contents: Contents) -> list[str]:
    header = [
        "Claim",
        "On",
        "Difference",
        "95 %, these networks",
        "95 %, in general",
        "Expected",
        "Verdict",
        "Survives",
    ]
    rows = []
    for finding in contents.findings:
        unit, difference = finding.reading.unit, finding.reading.difference
        rows.append(
            [
                finding.name,
                ", ".join(finding.conditions),
                wording.with_unit(difference.estimate if difference else None, unit, signed=True),
                wording.interval_text(difference.these_networks if difference else None, unit, signed=True),
                wording.interval_text(difference.architectures if difference else None, unit, signed=True),
                claim_words.expectation(finding),
                claim_words.label(finding),
                claim_words.survivals(contents.controls[finding.number], finding),
            ]
        )
    return table(header, rows)


def _claim(finding: Finding, controls: Sequence[Controlled]) -> list[str]:
    metric, unit = finding.reading.metric, finding.reading.unit
    lines = ["", f"### {escaped(finding.name)}: {claim_words.label(finding)}", ""]
    lines += [f"The paper says that {escaped(finding.claim.says)}. On {escaped(', '.join(finding.conditions))}.", ""]
    lines += [f"- {_kept_code(sentence)}" for sentence in claim_words.sentences(finding)]
    if note := claim_words.unmeasured(finding):
        lines += [f"- {escaped(note)}"]
    rows = [
        [network.label, catalogue.group_title(network.group), wording.value_text(network, metric, unit),
         str(len(network.values(metric)))]
        for network in finding.reading.networks
    ]  # fmt: skip
    if rows:
        lines += ["", *table(["Network", "Group", wording.title(metric, unit), "Seeds"], rows)]
    if controls:
        header = ["Under control", "Difference", "95 %, these networks", "95 %, in general", "Verdict", "Note"]
        found = [
            [
                each.name,
                wording.with_unit(each.difference.estimate if each.difference else None, each.unit, signed=True),
                wording.interval_text(each.interval, each.unit, signed=True),
                wording.interval_text(each.difference.architectures if each.difference else None, each.unit, True),
                claim_words.survival(each, finding),
                each.note,
            ]
            for each in controls
        ]
        lines += ["", *table(header, found)]
    return lines


def _section(section: Section) -> list[str]:
    lines = ["", f"## {escaped(' · '.join([section.title, *section.conditions]))}", ""]
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
            ]
        )
    header = ["Metric", "Groups", "Means", "Difference", "95 %, these networks", "95 %, in general"]
    lines += table(header, rows) if rows else [escaped(wording.nothing_to_compare(section))]
    return lines + ([""] + [f"- {escaped(note)}" for note in notes] if (notes := wording.notes(section)) else [])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose cells are escaped."""
    lines = [list(header), ["---"] * len(header), *rows]
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
