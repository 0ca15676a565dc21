"""Divides runs into those that may be compared: one value of every option that varies, and one size of each network."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from autovul.base.report import catalogue
from autovul.base.report.own_size import Size, Training, training
from autovul.base.report.sections import Run
from autovul.base.report.settings import lacking, network_name, size_marks, varying, weights_suffix


@dataclass(frozen=True)
class Part:
    """Runs that may be compared.

    Args:
        setting: The options that tell it apart.
        runs: One or more.
        is_variants: Whether they are of variants only, which stand beside no other network in its own size.
    """

    setting: dict[str, str]
    runs: list[Run]
    is_variants: bool


def by_setting(runs: list[Run], sizes: Mapping[Training, Sequence[Size]]) -> list[Part]:
    """Divide runs by the values of the options that vary within a network, and variants of a network from it.

    Options that change a network's size do not divide networks: each stands in its own size beside the others. But one
    that was trained alike in several sizes stands there in one of them, and in a part of its own with every other one.

    Args:
        runs: Of one experiment, algorithm and set of data.
        sizes: Each network's, its own one first; where that was not measured, the next stands in its place.
    """
    failed = [run for run in runs if run.result.status == "failed"]
    # A failed run may name fewer options than others do, so that it divides nothing while there are others.
    telling = [run for run in runs if run.result.status != "failed"] or runs
    by_network: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in telling:
        by_network[run.result.group, network_name(run.result)].append(run)
    options = {name for members in by_network.values() for name in varying(members)} - {*catalogue.SHAPE}
    if len({weights_suffix(run.result) for run in telling}) > 1:
        options.add("suffix")  # weights of another training, even where each network has only one of them
    names = sorted(options)
    parts: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in telling:
        parts[_values(run, names)].append(run)
    for run in failed if telling is not runs else ():
        own = _values(run, names)
        fits = (each for each in parts if all(run.settings.get(n, v) == v for n, v in zip(names, each, strict=True)))
        parts[own if own in parts else next(fits, own)].append(run)
    return [
        dataclasses.replace(part, setting={**dict(zip(names, values, strict=True)), **part.setting})
        for values in sorted(parts, key=_natural)
        for part in _by_size(parts[values], sizes)
    ]


def _by_size(runs: list[Run], sizes: Mapping[Training, Sequence[Size]]) -> list[Part]:
    """Networks in the size in which they stand beside others, then each kind of variant."""
    untold = [run for run in runs if _size_is_untold(run)]
    by_training: dict[Training, list[Run]] = defaultdict(list)
    for run in runs:
        if not _size_is_untold(run):
            by_training[training(run)].append(run)
    standing = {}
    for name, members in by_training.items():
        there = {size_marks(run.result) for run in members}
        standing[name] = next((size for size in sizes[name] if size in there), None)  # none, if all these failed
    shape = [
        option
        for option in catalogue.SHAPE
        if any(option in varying(members) or standing[name] is None for name, members in by_training.items())
    ]
    together: list[Run] = []
    variants: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for name, members in by_training.items():
        for run in members:
            (together if size_marks(run.result) == standing[name] else variants[_values(run, shape)]).append(run)
    parts = [(together, False)] if together else []
    parts += [(variants[values], True) for values in sorted(variants, key=_natural)]
    found = [Part(_common(members, shape), members, is_variants) for members, is_variants in parts]
    if not untold:
        return found
    first, *rest = found or [Part({}, [], False)]
    return [dataclasses.replace(first, runs=[*first.runs, *untold]), *rest]


def _size_is_untold(run: Run) -> bool:
    """Whether a run failed before its record named any options of size."""
    return run.result.status == "failed" and not any(name in run.result.options for name in catalogue.SHAPE)


def _values(run: Run, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(run.settings.get(name, lacking(name)) for name in names)


def _common(runs: Iterable[Run], names: Iterable[str]) -> dict[str, str]:
    """The options that all runs have alike."""
    found = {name: {value for run in runs for value in _values(run, [name])} for name in names}
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def _natural(values: tuple[str, ...]) -> list[tuple[int, float, str]]:
    """Sorts "10" after "9", and "16/255" after "8/255"."""
    ranks = []
    for value in values:
        try:
            ranks.append((0, float(Fraction(value)), value))
        except (ValueError, ZeroDivisionError, OverflowError):
            ranks.append((1, 0.0, value))
    return ranks
