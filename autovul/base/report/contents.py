"""Everything that a report says, found once and shown by each of its forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autovul.base.experiments import Experiment
from autovul.base.report import claims, controls, wording
from autovul.base.report.belonging import names_of
from autovul.base.report.cells import Cells, cells
from autovul.base.report.claims import Finding
from autovul.base.report.controlled import Controlled
from autovul.base.report.costs import Cost, costs
from autovul.base.report.doubts import judged
from autovul.base.report.relations import Relation, relations
from autovul.base.report.sections import Run, Section
from autovul.base.report.standing import Standing, standings
from autovul.base.report.totals import Totals
from autovul.base.report.traits import Trainings
from autovul.base.result import Result


@dataclass(frozen=True)
class Contents:
    """Records, sorted into sections that may be compared, and what they say of the experiments' claims.

    Args:
        results: Every valid record.
        refused: Files that hold none, with the reason.
        sections: One for each experiment, algorithm, set of data and setting.
        experiments: The definitions, by name.
        groups: The networks that each group has; empty where that is not known.
    """

    results: tuple[Result, ...]
    refused: tuple[tuple[Path, str], ...]
    sections: tuple[Section, ...]
    experiments: Mapping[str, Experiment]
    groups: Mapping[str, Sequence[str]]

    @cached_property
    def totals(self) -> Totals:
        return Totals.of(self.results, self.refused, self.sections)

    @cached_property
    def trainings(self) -> Trainings:
        """What the networks' trainings found."""
        return Trainings.of(self.results)

    @cached_property
    def lost(self) -> list[tuple[Run, str]]:
        """The runs that diverged or failed, in words: which, and why."""
        runs = [run for section in self.sections for network in section.networks for run in network.runs]
        return [(run, wording.lost_text(run.result)) for run in runs if run.result.status != "ok"]

    @cached_property
    def findings(self) -> list[Finding]:
        """Every claim on every set of comparable runs that belongs to it."""
        return claims.find(self.sections, self.experiments, self.trainings, self.measured)

    @cached_property
    def measured(self) -> dict[str, list[str]]:
        """The networks of each group that there are records of, of whatever experiment."""
        names = {name for section in self.sections for network in section.networks for name in names_of(network)}
        return {group: [name for name in members if name in names] for group, members in self.groups.items()}

    @cached_property
    def standings(self) -> list[list[Standing]]:
        """Where the user's own networks stand, by experiment."""
        return standings(self.sections, self.experiments.values())

    @cached_property
    def controls(self) -> dict[int, Sequence[Controlled]]:
        """The controls of a finding, by its number."""
        found = ((each, controls.controls(each, self.trainings, self.sections)) for each in self.findings)
        return {finding.number: judged(each, finding) for finding, each in found}

    @cached_property
    def relations(self) -> dict[int, list[Relation]]:
        """What a claim's metric goes with, by the finding's number."""
        return relations(self.findings, self.trainings)

    @cached_property
    def cells(self) -> list[Cells]:
        return cells(self.sections)

    @cached_property
    def costs(self) -> list[Cost]:
        return costs(self.results)
