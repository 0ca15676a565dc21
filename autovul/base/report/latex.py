"""The claims as LaTeX tables that need no package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autovul.base.report import formats, text_tables
from autovul.base.report.text_tables import Table

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
    formats.MINUS: "$-$",
    formats.NONE: "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def render(contents: Contents) -> str:
    """A table of all claims, then for each its networks and its controls."""
    lines = ["% Made by autovul report. Each table stands alone: \\input this file or copy what is needed."]
    lines += _set(text_tables.claims(contents).without("Survives"), "The claims.")
    for finding in contents.findings:
        lines += _set(text_tables.claim_networks(finding), f"{finding.name}: {finding.claim.says}.")
        found = text_tables.controls(finding, contents.controls[finding.number])
        lines += _set(found.without("Note"), f"{finding.name} under control.")
    return "\n".join(lines) + "\n"


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
