"""What a run is about, as its record will tell, and the key by which the two find each other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autovul.base.result import ADDED, BOOKKEEPING, Result, version_of


@dataclass(frozen=True)
class Subject:
    """What a run will find out, known before it runs.

    Args:
        experiment: What kind of record it makes: "train", "poison", …
        algorithm: The algorithm, where the experiment has several.
        dataset: The data set.
        model: The network's canonical name.
        group: Its group.
        seed: The seed.
        options: Every option that its record will hold.
        weights: The file of weights that it reads, or that a training writes; None where it does neither.
    """

    experiment: str
    algorithm: str
    dataset: str
    model: str
    group: str
    seed: int
    options: Mapping[str, Any]
    weights: Path | None = None

    @property
    def trains(self) -> bool:
        """Whether its outcome is a file of weights."""
        return self.experiment == "train"

    @cached_property
    def key(self) -> str:
        """Equal for two runs that measure the same, whatever machine, folder or program version they run with."""
        return key_of(self.experiment, self.algorithm, self.dataset, self.model, self.seed, self.options)

    def replace(self, **changes: Any) -> Subject:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def failed(self, message: str) -> Result:
        """The record of a run that came to nothing."""
        return Result(
            experiment=self.experiment,
            algorithm=self.algorithm,
            dataset=self.dataset,
            model=self.model,
            group=self.group,
            seed=self.seed,
            options=self.options,
            metrics={},
            status="failed",
            message=message,
            version=version_of(self.experiment),
        )


def key_of_record(result: Result) -> str:
    """The key of the run that made a record."""
    return key_of(result.experiment, result.algorithm, result.dataset, result.model, result.seed, result.options)


def key_of(experiment: str, algorithm: str, dataset: str, model: str, seed: int, options: Mapping[str, Any]) -> str:
    """A digest of what a run measures; options that only say where, how fast or how verbosely are no part of it."""
    relevant = {
        name: plain(value)
        for name, value in options.items()
        if name not in BOOKKEEPING and (name not in ADDED or value != ADDED[name])
    }
    identity = [experiment, algorithm, dataset, model, seed, relevant]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]


def plain(value: Any) -> Any:
    """A value as JSON gives it back, with 8 and 8.0 alike."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Path):
        return str(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
