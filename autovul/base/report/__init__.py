"""The report: a page, texts and tables made from result records alone; no model is ever loaded for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from autovul.base.experiments import Experiment, load_experiments
from autovul.base.report import claim_table, console, figure_files, latex, markdown, page, result_tables, spreadsheet
from autovul.base.report.contents import Contents
from autovul.base.report.doubts import with_doubts_of_weights
from autovul.base.report.settings import network_name
from autovul.base.report.sorting import make_sections
from autovul.base.report.traits import with_early_loss
from autovul.base.result import Result

__all__ = ["Report", "build"]


class Report(Contents):
    """What records say of the claims and of themselves, in several forms."""

    def html(self) -> str:
        """A page that needs no other file and no network."""
        return page.render(self)

    def text(self) -> str:
        """The same findings in fixed-width columns, for a terminal."""
        return console.render(self)

    def markdown(self) -> str:
        """The claims with their networks and controls, and the group means of every section, as Markdown."""
        return markdown.render(self)

    def csv(self) -> str:
        """Every metric of every record, one a line, pooled with nothing."""
        return spreadsheet.render(self.results)

    def claims_csv(self) -> str:
        """Every claim and every control of it, one a line."""
        return claim_table.render(self)

    def tables(self) -> dict[str, str]:
        """Networks, comparisons of groups, and relations, as comma-separated values by the names of their files."""
        return {
            "networks.csv": result_tables.networks(self),
            "comparisons.csv": result_tables.comparisons(self),
            "relations.csv": result_tables.relations(self),
        }

    def latex(self) -> str:
        """The claims as LaTeX tables."""
        return latex.render(self)

    def write_figures(self, folder: Path, kind: Literal["png", "pdf"]) -> list[Path]:
        """The claims' figures as files; this alone needs matplotlib."""
        return figure_files.write(self, folder, kind)


def build(
    results: Sequence[Result],
    refused: Sequence[tuple[Path, str]] = (),
    experiments: Mapping[str, Experiment] | None = None,
    groups: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Report:
    """Make a report from records.

    Args:
        results: Valid records, of any experiments.
        refused: Files that hold no valid record, with the reason, to be named in the report.
        experiments: The definitions whose claims are judged; by default those of the package.
        groups: The networks that each group has, so that the report can tell which of a claim's were not measured.
    """
    definitions = load_experiments() if experiments is None else experiments
    home = {name: group for group, names in groups.items() for name in names}
    # A record says which group its network was in when it was made; what counts is where it is now.
    results = [r if r.group == "yours" else r.replace(group=home.get(network_name(r), r.group)) for r in results]
    results = with_doubts_of_weights(with_early_loss(result) for result in results)
    return Report(tuple(results), tuple(refused), tuple(make_sections(results)), definitions, groups)
