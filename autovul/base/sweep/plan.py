"""What a sweep plans: runs, and the wish that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from autovul.base.experiments import Scale
from autovul.base.settings.known_options import KnownOptions
from autovul.base.sweep.subject import Subject

FIRST_SEED = 1228


class Catalogue(Protocol):
    """What the sweep, which knows nothing about images, asks about networks, commands and files."""

    def known_options(self) -> KnownOptions: ...

    def networks(self, names: Sequence[str]) -> list[tuple[str, str]]: ...

    def canonical(self, network: str) -> str: ...

    def flags(self, network: str) -> tuple[str, ...]: ...

    def takes(self, network: str, option: str) -> bool: ...

    def subject(self, argv: Sequence[str]) -> tuple[Subject, Any]: ...

    def for_network(self, subject: Subject, name: str, group: str, seed: int, suffix: str) -> Subject: ...

    def made_of(self, options: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def data_sha256(self, data: Any) -> str: ...

    def weights_sha256(self, path: Path) -> str: ...

    def loaded_sha256(self, path: Path, subject: Subject) -> str: ...


@dataclass(frozen=True)
class Run:
    """One command of a plan.

    Args:
        name: For people: experiment, network, seed and place in the grid.
        experiments: The experiments that need it.
        argv: The command's name and its arguments.
        subject: What it is about.
        after: Keys of the runs that come first.
        settings: Of a run like it (another network or seed), for folders and data.
    """

    name: str
    experiments: tuple[str, ...]
    argv: tuple[str, ...]
    subject: Subject
    after: tuple[str, ...]
    settings: Any

    @property
    def key(self) -> str:
        return self.subject.key


@dataclass(frozen=True)
class Wish:
    """What somebody wants to run.

    Args:
        experiments: Names; none: all.
        scale: The scale.
        seeds: Repetitions; None: as many as the scale says.
        networks: Networks and groups that take part; none: those of the scale. Own ones join those of an experiment.
        options: Further options of the commands, which win over experiment and scale.
        published: Whether given weights are used, so that nothing is trained.
        given: Networks and groups of which given weights are used, while others are trained.
        config_file: A configuration file for every run.
    """

    experiments: tuple[str, ...]
    scale: Scale
    seeds: int | None = None
    networks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = False
    given: tuple[str, ...] = ()
    config_file: Path | None = None
