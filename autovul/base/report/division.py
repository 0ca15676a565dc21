"""Divides runs into those that may be compared: one value of every option that varies, and one size of each network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from autovul.base.report import catalogue
from autovul.base.report.sections import Run
from autovul.base.report.settings import lacking, network_name, size_marks, varying, weights_suffix

_Key = tuple[tuple[str, ...], tuple[str, ...]]


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


def by_setting(runs: list[Run]) -> list[Part]:
    """Divide runs by the values of the options that vary within a network, and variants of a network from it.

    Options that change a network's size do not divide networks: each stands in its own size beside the others. But one
    that was trained alike in several sizes stands there in one of them, and in a part of its own with every other one.
    """
    failed = [run for run in runs if run.result.status == "failed"]
    # A failed run may name fewer options than others do, so that it divides nothing while there are others.
    telling = [run for run in runs if run.result.status != "failed"] or runs
    by_network: dict[tuple[str, str], list[Run]] = defaultdict(list)
    by_training: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in telling:
        by_network[run.result.group, network_name(run.result)].append(run)
        by_training[_training(run)].append(run)
    options = {name for members in by_network.values() for name in varying(members)} - {*catalogue.SHAPE}
    if len({weights_suffix(run.result) for run in telling}) > 1:
        options.add("suffix")  # weights of another training, even where each network has only one of them
    shape = [name for name in catalogue.SHAPE if any(name in varying(members) for members in by_training.values())]
    names, own_sizes = sorted(options), {training: _own_size(members) for training, members in by_training.items()}

    def part_of(run: Run) -> _Key:
        is_own = size_marks(run.result) == own_sizes.get(_training(run), size_marks(run.result))
        return _values(run, names), () if is_own else _values(run, shape)

    parts: dict[_Key, list[Run]] = defaultdict(list)
    for run in telling:
        parts[part_of(run)].append(run)
    settings = {
        part: dict(zip(names, part[0], strict=True)) | _sizes(members, shape) for part, members in parts.items()
    }
    for run in failed if telling is not runs else ():
        part = part_of(run)
        if part not in parts:
            known = {(name, run.settings[name]) for name in names if name in run.settings}
            part = next((each for each in parts if known <= {*settings[each].items()}), part)
        parts[part].append(run)
        settings.setdefault(part, dict(zip(names, part[0], strict=True)) | _sizes([run], shape))
    ordered = sorted(parts, key=lambda part: (_natural(part[0]), _natural(part[1])))  # variants behind their networks
    return [Part(settings[part], parts[part], bool(part[1])) for part in ordered]


def _training(run: Run) -> tuple[str, ...]:
    """A network by name and by what its weights are called."""
    return run.result.group, network_name(run.result), weights_suffix(run.result)


def _own_size(runs: Iterable[Run]) -> tuple[str, ...]:
    """The size in which a network stands beside others; in any other it is a variant of itself.

    As published where it ran so; else that with the most seeds, and among equals the one that ran first.
    """
    sizes: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        sizes[size_marks(run.result)].append(run)

    def rank(size: tuple[str, ...]) -> tuple[bool, int, tuple[str, int]]:
        first = min((str(run.result.environment.get("created", "")), run.number) for run in sizes[size])
        return size != (), -len({run.result.seed for run in sizes[size]}), first

    return min(sizes, key=rank)


def _values(run: Run, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(run.settings.get(name, lacking(name)) for name in names)


def _sizes(runs: Iterable[Run], shape: Iterable[str]) -> dict[str, str]:
    """The options of size that the runs have in common."""
    found = {name: {value for run in runs for value in _values(run, [name])} for name in shape}
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
