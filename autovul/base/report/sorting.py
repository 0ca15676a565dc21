"""Sorts records into sections: what was measured alike stands together, what was not is kept apart or named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from autovul.base.report import catalogue
from autovul.base.report.division import Part, by_setting
from autovul.base.report.own_size import sizes
from autovul.base.report.sections import Network, Run, Section
from autovul.base.report.settings import NOT_GIVEN, network_name, settings_of, size_marks, varying
from autovul.base.result import Result


def make_sections(results: Iterable[Result]) -> list[Section]:
    """Sort records into sections.

    Records of another experiment, algorithm or data never meet in a section. An option with which one network ran in
    several ways divides the section; one that only differs from network to network is reported instead. Options of
    size divide networks of one training from their variants (`division.by_setting`).
    """
    families: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    early: list[Run] = []  # runs that failed before they had read any data
    for number, result in enumerate(results, start=1):
        run = Run(number, result, settings_of(result))
        if result.status == "failed" and not result.data_sha256:
            early.append(run)
        else:
            families[result.experiment, result.algorithm, result.dataset, result.data_sha256].append(run)
    for run in early:
        families[_home(run.result, families)].append(run)
    data = defaultdict(set)
    for _, _, dataset, sha256 in families:
        data[dataset].add(sha256)
    known = sizes(run for runs in families.values() for run in runs)
    sections: list[Section] = []
    for key in sorted(families, key=lambda key: (catalogue.experiment_rank(key[0]), *key)):
        for part in by_setting(families[key], known):
            sections.append(_make_section(len(sections) + 1, key, part, len(data[key[2]]) > 1))
    return sections


def _home(result: Result, families: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The family of a run that names no data: the only one that it can belong to, or one of its own."""
    own = (result.experiment, result.algorithm, result.dataset, result.data_sha256)
    alike = [
        key for key in families if key[0] == own[0] and key[2] == own[2] and (key[1] == own[1] or not own[1]) and key[3]
    ]
    return alike[0] if len(alike) == 1 else own


def _make_section(number: int, key: tuple[str, ...], part: Part, several: bool) -> Section:
    runs, remade = _as_they_are(part.runs)
    latest = _latest(runs)
    members: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in latest:
        members[run.result.group, network_name(run.result)].append(run)
    networks = [
        Network(name, group, tuple(sorted(found, key=lambda run: run.result.seed)), _marks(found))
        for (group, name), found in members.items()
    ]
    networks.sort(key=lambda network: catalogue.network_rank(network.group, network.name))
    return Section(
        number=number,
        experiment=key[0],
        algorithm=key[1],
        dataset=key[2],
        data_sha256=key[3],
        setting=part.setting,
        is_variants=part.is_variants,
        networks=tuple(networks),
        metrics=_metrics(key[0], [run.result for run in latest]),
        differing=_differing(networks),
        several_data=several,
        replaced=len(runs) - len(latest),
        remade=remade,
    )


def _marks(runs: list[Run]) -> tuple[str, ...]:
    """A run that failed early may not tell them."""
    return size_marks(next((run for run in runs if run.result.status != "failed"), runs[0]).result)


def _as_they_are(runs: list[Run]) -> tuple[list[Run], tuple[str, ...]]:
    """The runs of networks as they are now, and the names of those of which older code or cells were run as well.

    Under one name these are two networks, so that their seeds are no repetitions of each other. A run that failed may
    not tell what it was made of.
    """
    now: dict[tuple[str, str], Result] = {}
    for run in sorted(runs, key=_age):
        if _made_of(run.result):
            now[run.result.group, network_name(run.result)] = run.result
    kept, changed = [], set()
    for run in runs:
        name = network_name(run.result)
        newest = now.get((run.result.group, name))
        if newest is None or _made_of(run.result) in ({}, _made_of(newest)):
            kept.append(run)
        else:
            changed.add(name)
    return kept, tuple(sorted(changed))


def _made_of(result: Result) -> dict[str, Any]:
    """What tells a network from another one of its name; empty where nothing does."""
    return {name: result.facts[name] for name in ("source_sha256", "genotype") if name in result.facts}


def _latest(runs: list[Run]) -> list[Run]:
    """One run a network and seed: two records of one run are no two observations, so the newest counts.

    A run that failed to end says nothing, so that it stands behind one that ended.
    """
    chosen: dict[tuple[str, str, int], Run] = {}
    for run in sorted(runs, key=_age):
        chosen[run.result.group, network_name(run.result), run.result.seed] = run
    return sorted(chosen.values(), key=lambda run: run.number)


def _age(run: Run) -> tuple[bool, str, int]:
    return run.result.status != "failed", str(run.result.environment.get("created", "")), run.number


def _metrics(experiment: str, results: list[Result]) -> tuple[str, ...]:
    present = list(dict.fromkeys(name for result in results for name in result.metrics))
    declared = [name for name in catalogue.experiment_info(experiment).metrics if name in present]
    return tuple(declared or present)


def _differing(networks: list[Network]) -> dict[str, dict[str, list[str]]]:
    """As `varying`; an option of structure only where networks of a kind differ in it, since other kinds lack it.

    One that is not given is as published in networks made of cells, which have them all; in others it may not be there
    at all, and says nothing.
    """
    runs = [run for network in networks for run in network.good]
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        kinds["cells" if "genotype" in run.result.facts else run.result.group].append(run)
    within = {
        name
        for kind, members in kinds.items()
        for name, values in varying(members).items()
        if len(values.keys() - (set() if kind == "cells" else {NOT_GIVEN})) > 1
    }
    return {name: found for name, found in varying(runs).items() if name not in catalogue.STRUCTURE or name in within}
