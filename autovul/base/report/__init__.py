"""The report: a page, a text and a table made from result records alone; no model is ever loaded for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autovul.base.report.sections import Section
from autovul.base.report.sorting import make_sections
from autovul.base.result import Result

__all__ = ["Report", "build"]


@dataclass(frozen=True)
class Report:
    """Records, sorted into sections that may be compared.

    Args:
        results: Every valid record.
        refused: Files that hold none, with the reason.
        sections: One for each experiment, algorithm, set of data and setting.
    """

    results: tuple[Result, ...]
    refused: tuple[tuple[Path, str], ...]
    sections: tuple[Section, ...]

    def html(self) -> str:
        """A page that needs no other file and no network."""
        from autovul.base.report.page import render

        return render(self.results, self.refused, self.sections)

    def text(self) -> str:
        """The same findings in fixed-width columns, for a terminal."""
        from autovul.base.report.console import render

        return render(self.results, self.refused, self.sections)

    def csv(self) -> str:
        """Every metric of every record, one a line, pooled with nothing."""
        from autovul.base.report.spreadsheet import render

        return render(self.results)


def build(results: Sequence[Result], refused: Sequence[tuple[Path, str]] = ()) -> Report:
    """Make a report from records.

    Args:
        results: Valid records, of any experiments.
        refused: Files that hold no valid record, with the reason, to be named in the report.
    """
    return Report(tuple(results), tuple(refused), tuple(make_sections(results)))
