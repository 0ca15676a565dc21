"""The claims and relations as LaTeX tables that need no package."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.report import coverage, formats, text_tables, wording
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.relations import Relation
from autovul.base.report.text_tables import Table

INTERVALS = (
    "Intervals at 95 %: these networks, where only seeds vary; in general, over networks (Welch), with p of a"
    " permutation test."
)
ADJUSTED = "The distance between lines through the two sides' networks has no p."
MARGIN = "± is half of a 95 % interval over seeds (Student's t)."
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    formats.MINUS: "$-$",
    formats.NONE: "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def render(contents: Contents) -> str:
    """A table of all claims, then for each its networks, its controls and its relations."""
    lines = ["% Made by autovul report. Each table stands alone: \\input this file or copy what is needed."]
    caption = f"The claims. {INTERVALS} {wording.NOT_CORRECTED} {coverage.measured(contents)}".rstrip()
    lines += _set(text_tables.claims(contents).without("Survives"), caption)
    for finding in contents.findings:
        networks = text_tables.claim_networks(finding)
        margin = f" {MARGIN}" if any("±" in cell for row in networks.rows for cell in row) else ""
        lines += _set(networks, f"{finding.name}: {finding.claim.says}.{margin}")
        found = text_tables.controls(finding, contents.controls[finding.number])
        lines += _set(found.without("Note"), f"{finding.name} under control. {INTERVALS} {ADJUSTED}")
        lines += _relations(finding, contents.relations.get(finding.number, ()))
    return "\n".join(lines) + "\n"


def _relations(finding: Finding, found: Sequence[Relation]) -> list[str]:
    metric = wording.title(finding.reading.metric, finding.reading.unit)
    caption = (
        f"{finding.name}: {metric}, against facts of the networks, one point a network: Spearman's correlation and its"
        " 95 % interval. Over all networks it is mostly the groups' difference; neither is a cause."
    )
    return _set(text_tables.relations(found), caption)


def _set(table: Table, caption: str) -> list[str]:
    """The table in LaTeX; nothing of one without rows."""
    if not table.rows:
        return []
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in (table.header, *table.rows)]
    head = ["", r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}"]
    head += [rf"\begin{{tabular}}{{{table.alignment}}}", r"\hline", lines[0], r"\hline"]
    return [*head, *lines[1:], r"\hline", r"\end{tabular}", r"\end{table}"]


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_SPECIAL.get(character, character if character.isprintable() else " ") for character in text)
