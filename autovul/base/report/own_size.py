"""In which size a network stands beside others, where it was trained alike in several."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low

from autovul.base.report import catalogue
from autovul.base.report.sections import Run
from autovul.base.report.settings import network_name, size_marks, weights_suffix

Size = tuple[str, ...]
"""The options that make it, as `size_marks` writes them; empty as published."""
Training = tuple[str, ...]


def training(run: Run) -> Training:
    """Which trainings are alike: those of one network, on the same data, whose weights have the same suffix."""
    result = run.result
    return result.dataset, result.data_sha256, weights_suffix(result), result.group, network_name(result)


def sizes(runs: Iterable[Run]) -> dict[Training, list[Size]]:
    """Each network's sizes, its own one first.

    Its own is that in which most was measured (experiments and their settings). Among equals it is the published one,
    if most networks beside it have theirs, and else not; then that with the number of parameters nearest to the median
    of all, whichever has more seeds: networks of like size are to stand together.

    Args:
        runs: All of a report, so that a network stands in the same size in all its sections. Those that failed count
            only for networks of which nothing else is known.
    """
    runs = list(runs)
    found: dict[Training, dict[Size, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for wanted in (False, True):
        known = set(found)
        for run in runs:
            if (run.result.status == "failed") is wanted and training(run) not in known:
                found[training(run)][size_marks(run.result)].append(run)
    beside: dict[Training, dict[Training, dict[Size, list[Run]]]] = defaultdict(dict)
    for name, by_size in found.items():
        beside[name[:3]][name] = by_size
    return {name: order for networks in beside.values() for name, order in _ordered(networks).items()}


def _ordered(networks: Mapping[Training, Mapping[Size, Sequence[Run]]]) -> dict[Training, list[Size]]:
    """Of networks that stand beside each other."""
    mostly_published = 2 * sum(() in by_size for by_size in networks.values()) > len(networks)
    known = [_log_parameters(runs) for by_size in networks.values() for runs in by_size.values()]
    # One that there is, so that of two sizes of each network all choose the same.
    middle = median_low([size for size in known if size is not None] or [0.0])

    def rank(size: Size, runs: Sequence[Run]) -> tuple[int, bool, float, Size]:
        measured = {_measured(run) for run in runs}
        is_odd = (size == ()) is not mostly_published
        parameters = _log_parameters(runs)
        apart = math.inf if parameters is None else abs(parameters - middle)
        return -len(measured), is_odd, apart, size

    return {name: sorted(found, key=lambda size: rank(size, found[size])) for name, found in networks.items()}


def _measured(run: Run) -> tuple[str, ...]:
    settings = (f"{name} {value}" for name, value in sorted(run.settings.items()) if name not in catalogue.SHAPE)
    return run.result.experiment, run.result.algorithm, *settings


def _log_parameters(runs: Sequence[Run]) -> float | None:
    """None where the records do not tell."""
    values = (run.result.facts.get("parameters") for run in runs)
    return next((math.log(value) for value in values if isinstance(value, int | float) and value > 0), None)
