"""What a report is made of, in counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autovul.base.groups import GROUPS
from autovul.base.report import catalogue, formats
from autovul.base.report.sections import Section
from autovul.base.report.settings import network_name
from autovul.base.result import Result


@dataclass(frozen=True)
class Totals:
    """The counts at the head of the report.

    Args:
        results: How many records there are.
        experiments: Records by the command that made them.
        networks: Networks by group, the declared groups first.
        datasets: Names of data sets, with how many different data go by each.
        seeds: All seeds.
        statuses: Records that are not ok, by status.
        refused: How many files hold no record.
    """

    results: int
    experiments: dict[str, int]
    networks: dict[str, int]
    datasets: dict[str, int]
    seeds: tuple[int, ...]
    statuses: dict[str, int]
    refused: int

    @classmethod
    def of(cls, results: Sequence[Result], refused: Sequence[tuple[Path, str]], sections: Sequence[Section]) -> Totals:
        """Count records."""
        names = {(result.group, network_name(result)) for result in results}
        groups = sorted({group for group, _ in names}, key=catalogue.group_rank)
        # A run that failed may not have come as far as its data.
        data = {(result.dataset, result.data_sha256) for result in results if result.data_sha256}
        by_experiment = Counter(result.experiment for result in results)
        order = dict.fromkeys(section.experiment for section in sections)
        return cls(
            results=len(results),
            experiments={name: by_experiment[name] for name in order},
            networks={group: sum(found == group for found, _ in names) for group in groups},
            datasets=dict(sorted(Counter(name for name, _ in data).items())),
            seeds=tuple(sorted({result.seed for result in results})),
            statuses=dict(sorted(Counter(result.status for result in results if result.status != "ok").items())),
            refused=len(refused),
        )

    @property
    def sentence(self) -> str:
        """What the report is about, in one sentence."""
        if not self.results:
            return "No result was found, so there is nothing to compare yet."
        groups = formats.listed(GROUPS[group].meaning if group in GROUPS else group for group in self.networks)
        return (
            f"{formats.plural(self.results, 'result')} of {self._kinds} on {formats.listed(self.datasets)}: {groups}."
        )

    @property
    def _kinds(self) -> str:
        """Commands, that is: several experiments may share one, so that these are not what a sweep counts."""
        return formats.plural(len(self.experiments), "kind of run", "kinds of run")

    def lines(self) -> list[tuple[str, str]]:
        """The counts as names and texts."""
        experiments = [f"{catalogue.experiment_info(name).title} {count:,}" for name, count in self.experiments.items()]
        networks = [f"{catalogue.group_title(group)} {count:,}" for group, count in self.networks.items()]
        data = [name if count == 1 else f"{name} ({count} different data)" for name, count in self.datasets.items()]
        found = [
            ("Results", f"{self.results:,}: {', '.join(experiments)}"),
            ("Networks", f"{sum(self.networks.values()):,}: {', '.join(networks)}"),
            ("Data sets", ", ".join(data)),
            ("Seeds", f"{len(self.seeds):,}: {formats.listed(map(str, self.seeds))}"),
        ]
        if self.statuses:
            troubles = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
            found.append(("Not counted in means", troubles))
        if self.refused:
            found.append(("Refused files", str(self.refused)))
        return found
