"""A task: one command that a launcher runs somewhere; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

BUSY = 75  # "temporary failure": somebody else runs the same
LOST = -1  # the process or machine that ran it is gone
INTERRUPTED = (130, 143)  # a signal has stopped the command: that is no failure of its own
GRACE = 60.0  # seconds that a task may take to save what it has when it is asked to stop


@dataclass(frozen=True)
class Task:
    """One command and what it needs. Plain data: it goes to other processes and machines as it is.

    Args:
        key: Tells tasks apart; the key of the run.
        name: For logs and people, such as ``fig7 drnas s1229``.
        argv: The command's name and its arguments.
        folder: The working directory.
        log: File for what the command prints; a new try adds to it.
        lock: File that exists while somebody runs it.
        records: Folder where its record will be; None for a command that leaves none.
        since: When the sweep last looked for that record, in seconds since the epoch.
        threads: Threads of a computation on the CPU.
        gpus: GPUs it needs: 0, 1, or a share of one.
        after: Keys of the tasks that must end first; only a launcher that plans ahead is given such tasks.
    """

    key: str
    name: str
    argv: tuple[str, ...]
    folder: Path
    log: Path
    lock: Path
    records: Path | None = None
    since: float = 0.0
    threads: int = 1
    gpus: float = 0
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Args:
        key: The task's.
        status: The command's exit status; `BUSY` or `LOST`.
        message: Its last line on stderr, or why it is lost.
        seconds: How long it ran.
    """

    key: str
    status: int
    message: str = ""
    seconds: float = 0.0


class Launcher(Protocol):
    """Runs tasks somewhere.

    Attributes:
        plans_ahead: Whether it takes tasks whose ``after`` are not done yet, and waits for them by itself.
        place: Where it runs them, in words, for the head of the progress.
    """

    plans_ahead: bool
    place: str

    @property
    def capacity(self) -> int:
        """How many tasks run at once; it may change."""

    def start(self, tasks: Sequence[Task]) -> None:
        """Take tasks; they run as soon as there is room."""

    def poll(self, timeout: float) -> list[Outcome]:
        """The tasks that ended since the last call; waits for one, ``timeout`` seconds at most."""

    def running(self) -> Mapping[str, float]:
        """Keys of the tasks that run now, with their seconds so far."""

    def stop(self) -> None:
        """Ask all tasks to stop, wait for what they save, and end everything. May be called twice."""


@dataclass
class Slots:
    """Which of several places are free.

    Args:
        total: Their number.
    """

    total: int
    taken: dict[str, int] = field(default_factory=dict)

    def take(self, key: str) -> int:
        """The lowest free place, now the key's."""
        place = next(number for number in range(self.total) if number not in self.taken.values())
        self.taken[key] = place
        return place

    def free(self, key: str) -> None:
        """Give the key's place back."""
        self.taken.pop(key, None)
