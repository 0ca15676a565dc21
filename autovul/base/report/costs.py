"""What the runs cost: time, memory and queries, by command and group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from autovul.base.report import catalogue
from autovul.base.result import Result

PASSES = ("queries", "forward", "backward")


@dataclass(frozen=True)
class Cost:
    """The runs of one command and algorithm with the networks of one group on one data set.

    Args:
        title, dataset, group: Which runs.
        runs: How many; those that diverged or failed cost as well.
        seconds: Their time together.
        mean_seconds: Of one run.
        peak_memory: The largest of all, in bytes; None where it was not recorded.
        passes: The mean of a run's queries, forward and backward passes.
    """

    title: str
    dataset: str
    group: str
    runs: int
    seconds: float
    mean_seconds: float
    peak_memory: int | None
    passes: dict[str, float]


def costs(results: Iterable[Result]) -> list[Cost]:
    """A line for each command, algorithm, data set and group, in the order of the report."""
    parts: dict[tuple[str, str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        parts[result.experiment, result.algorithm, result.dataset, result.group].append(result)

    def rank(key: tuple[str, str, str, str]) -> tuple[object, ...]:
        return (catalogue.experiment_rank(key[0]), *key[:3], catalogue.group_rank(key[3]))

    return [_cost(key, parts[key]) for key in sorted(parts, key=rank)]


def _cost(key: tuple[str, str, str, str], results: list[Result]) -> Cost:
    experiment, algorithm, dataset, group = key
    title = catalogue.experiment_info(experiment).title
    seconds = [_seconds(result) for result in results]
    passes = {}
    for name in PASSES:
        counts = [result.counts[name] for result in results if name in result.counts]
        if counts:
            passes[name] = fmean(counts)
    return Cost(
        title=f"{title} · {algorithm}" if algorithm else title,
        dataset=dataset,
        group=group,
        runs=len(results),
        seconds=sum(seconds),
        mean_seconds=fmean(seconds),
        peak_memory=max((result.peak_memory or 0 for result in results), default=0) or None,
        passes=passes,
    )


def _seconds(result: Result) -> float:
    """A run's time: the total where it was measured, else the sum of its phases."""
    total = result.seconds.get("total")
    return float(total if total is not None else sum(result.seconds.values()))
