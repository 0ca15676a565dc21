"""Which runs and networks belong to an experiment's claim."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from autovul.base.experiments import Experiment
from autovul.base.experiments.definition import LARGEST, SMALLEST
from autovul.base.report import catalogue
from autovul.base.report.sections import Network, Section
from autovul.base.report.settings import network_name
from autovul.base.result import Result


def families(sections: Sequence[Section], experiment: Experiment) -> list[list[Section]]:
    """The experiment's sections, those together that differ in its grid only."""
    found: dict[tuple[Any, ...], list[Section]] = defaultdict(list)
    for section in sections:
        if _is_of(section, experiment) and matching(section, experiment.options):
            # Networks in sizes of their own may happen to be all alike in one section and not in its sister.
            left_out = {*experiment.grid, *(() if section.is_variants else catalogue.SHAPE)}
            rest = tuple(item for item in sorted(section.setting.items()) if item[0] not in left_out)
            data = section.dataset, section.data_sha256
            key = section.experiment, section.algorithm, *data, section.is_variants, rest
            found[key].append(section)
    return list(found.values())


def _is_of(section: Section, experiment: Experiment) -> bool:
    """Whether the section's command is the experiment's; given weights are validated in place of a training."""
    return section.experiment == experiment.command or (section.experiment, experiment.command) == ("validate", "train")


def resolve(where: Mapping[str, Any], siblings: Sequence[Section]) -> dict[str, Any]:
    """The grid values with ``largest`` and ``smallest`` replaced by those that there are runs of."""
    resolved = {}
    for name, value in where.items():
        if value in (LARGEST, SMALLEST):
            there = [option(result, name) for section in siblings for result in section.results]
            numbers = sorted(each for each in there if isinstance(each, int | float))
            value = numbers[-1 if value == LARGEST else 0] if numbers else None
        resolved[name] = value
    return resolved


def matching(section: Section, options: Mapping[str, Any]) -> list[Network]:
    """The section's networks with only those runs whose options are these."""
    found = []
    for network in section.networks:
        runs = tuple(r for r in network.runs if all(same(option(r.result, n), v) for n, v in options.items()))
        if runs:
            found.append(network if len(runs) == len(network.runs) else dataclasses.replace(network, runs=runs))
    return found


def option(result: Result, name: str) -> Any:
    """An option of a run; the choice of an attack may stand only in the record's ``algorithm``."""
    return result.options.get(name, result.algorithm if name == "attack" else None)


def same(recorded: Any, wanted: Any) -> bool:
    """Whether a recorded option has a definition's value: lists by their entries, numbers by size, one entry as itself.

    ``True`` is not 1, and an option that was not recorded is none.
    """
    if isinstance(recorded, list | tuple) or isinstance(wanted, list | tuple):
        left, right = (list(each) if isinstance(each, list | tuple) else [each] for each in (recorded, wanted))
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(recorded, bool) or isinstance(wanted, bool):
        return recorded is wanted
    if isinstance(recorded, int | float) and isinstance(wanted, int | float):
        return abs(recorded - wanted) <= 1e-9 * max(abs(recorded), abs(wanted))
    return bool(recorded == wanted)


def on_side(network: Network, side: Sequence[str]) -> bool:
    """Whether a network is one of those that a claim names, by its own name or its group's."""
    return any(name in side for name in (network.group, *names_of(network)))


def names_of(network: Network) -> set[str]:
    """What a network may be called: by its record, and by the options that chose it.

    Where a file of cells was given, the model "darts" only says that it is one.
    """
    result = network.runs[0].result
    own_cells = result.options.get("genotype")
    chosen = None if own_cells else result.options.get("model_arch") or result.options.get("model")
    return {network.name, network_name(result)} | ({chosen} if isinstance(chosen, str) else set())
