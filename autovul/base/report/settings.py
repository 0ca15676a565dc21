"""How a record is told from others: its network's name, its options as text, and what varies among several."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from autovul.base.report import catalogue
from autovul.base.report.sections import Run
from autovul.base.result import ADDED, BOOKKEEPING, Result

NOT_GIVEN = "not given"


def network_name(result: Result) -> str:
    """The model's name without the suffix that a repetition with another seed carries."""
    suffix = f"_s{result.seed}"
    return result.model.removesuffix(suffix) or result.model


def weights_suffix(result: Result) -> str:
    """What follows the name of a run's weights, without the part that tells a repetition's seed."""
    suffix = result.options.get("suffix")
    return suffix.removesuffix(f"_s{result.seed}") if isinstance(suffix, str) else ""


def settings_of(result: Result) -> dict[str, str]:
    """The options that matter for what was measured, as text.

    A size option only where it is not as published, one that came later where it is not as it was before.
    """
    settings = {}
    for name, value in result.options.items():
        as_published = name in catalogue.SHAPE and value in (None, catalogue.SHAPE[name])
        if name in BOOKKEEPING or as_published or (name in ADDED and value == ADDED[name]):
            continue
        settings[name] = option_text(value)
    if suffix := weights_suffix(result):
        settings["suffix"] = suffix
    return settings


def option_text(value: Any) -> str:
    """An option's value as people write it: a bound such as 0.03137254901960784 is 8/255."""
    if isinstance(value, float) and abs(value) < 1 and len(repr(value)) > 8 and _is_whole(255 * value):
        return f"{round(255 * value)}/255"
    if value is None:
        return NOT_GIVEN
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-9


def size_marks(result: Result) -> tuple[str, ...]:
    """The options that change the network's size and are not as published, such as "width 0.25"."""
    settings = settings_of(result)
    return tuple(f"{name} {settings[name]}" for name in catalogue.SHAPE if name in settings)


def varying(runs: Iterable[Run]) -> dict[str, dict[str, list[str]]]:
    """Options with several values among runs: for each value the networks that have it.

    An option that some records lack counts only where lacking says something: the network has its published size,
    its weights have no suffix, or the option came later.
    """
    runs = list(runs)
    values: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for run in runs:
        for name, value in run.settings.items():
            holders = values[name].setdefault(value, [])
            if network_name(run.result) not in holders:
                holders.append(network_name(run.result))
    for name in (*catalogue.SHAPE, "suffix", *ADDED):
        rest = [network_name(run.result) for run in runs if name not in run.settings]
        if name in values and rest:
            values[name][lacking(name)] = list(dict.fromkeys(rest))
    return {name: found for name, found in values.items() if len(found) > 1}


def lacking(name: str) -> str:
    if name in ADDED:
        return option_text(ADDED[name])
    return "as published" if name in catalogue.SHAPE else "none" if name == "suffix" else "not recorded"
