"""The claims as LaTeX tables that need no package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autovul.base.report import catalogue, claim_words, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controls import Controlled

if TYPE_CHECKING:
    from autovul.base.report.contents import Contents

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    wording.MINUS: "$-$",
    wording.NONE: "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def render(contents: Contents) -> str:
    """A table of all claims, then for each its networks and its controls."""
    lines = ["% Made by autovul report. Each table stands alone: \\input this file or copy what is needed."]
    lines += _overview(contents)
    for finding in contents.findings:
        lines += _networks(finding)
        if controls := contents.controls[finding.number]:
            lines += _controls(finding, controls)
    return "\n".join(lines) + "\n"


def _overview(contents: Contents) -> list[str]:
    header = ["Claim", "On", "Difference", "These networks", "In general", "Expected", "Verdict"]
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
            ]
        )
    return _table("llrrrrl", header, rows, "The claims. Intervals are at 95 %.")


def _networks(finding: Finding) -> list[str]:
    metric, unit = finding.reading.metric, finding.reading.unit
    rows = [
        [n.label, catalogue.group_title(n.group), wording.value_text(n, metric, unit), str(len(n.values(metric)))]
        for n in finding.reading.networks
    ]
    header = ["Network", "Group", wording.title(metric, unit), "Seeds"]
    return _table("llrr", header, rows, f"{finding.name}: {finding.claim.says}.") if rows else []


def _controls(finding: Finding, controls: Sequence[Controlled]) -> list[str]:
    rows = [
        [
            each.name,
            wording.with_unit(each.difference.estimate if each.difference else None, each.unit, signed=True),
            wording.interval_text(each.interval, each.unit, signed=True),
            claim_words.survival(each, finding),
        ]
        for each in controls
    ]
    header = ["Control", "Difference", "These networks", "Verdict"]
    return _table("lrrl", header, rows, f"{finding.name} under control.")


def _table(columns: str, header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> list[str]:
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in (header, *rows)]
    head = ["", r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    return [*head, r"\hline", lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}", r"\end{table}"]


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_SPECIAL.get(character, character if character.isprintable() else " ") for character in text)
