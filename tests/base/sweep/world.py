"""A world without images for the sweep: commands that only leave a record, and a launcher that runs them in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autovul.base.result import Metric, Result
from autovul.base.sweep.plan import Run
from autovul.base.sweep.subject import Subject
from autovul.base.sweep.task import Outcome, Task


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Files:
    """Stands for the catalogue: the digest of a file is that of its text."""

    def __init__(self, data: str = "data") -> None:
        self.data, self.reads, self.source = data, 0, ""

    def data_sha256(self, data) -> str:
        return sha(self.data)

    def made_of(self, options: Mapping[str, Any]) -> dict[str, str]:
        return {"source_sha256": self.source} if self.source else {}

    def weights_sha256(self, path: Path) -> str:
        self.reads += 1
        return sha(path.read_text())

    def loaded_sha256(self, path: Path, subject: Subject) -> str:
        return f"{sha(path.read_text())} {sha(path.read_text().removeprefix('module.'))}"


def run(name: str, folder: Path, *, after: Sequence[Run] = (), trains: bool = False, **options) -> Run:
    """A run; one that has another before it reads its weights."""
    weights = folder / "model" / f"{name}.pth" if trains else after[0].subject.weights if after else None
    subject = Subject(
        "train" if trains else "attack",
        "",
        "digits",
        name,
        "nas",
        1228,
        {"seed": 1228, "dataset": "digits", **options},
        weights,
    )
    data = SimpleNamespace(reading={"dataset": "digits"}, directory=folder / "no such folder")
    settings = SimpleNamespace(data=data)
    return Run(name, ("fig",), (name,), subject, tuple(each.key for each in after), settings)


def record(run: Run, files: Files, *, status: str = "ok", weights: str | None = None) -> Result:
    """The record that a run makes."""
    subject = run.subject
    path = subject.weights
    own = files.weights_sha256(path) if path is not None and path.is_file() else ""
    return Result(
        experiment=subject.experiment,
        dataset=subject.dataset,
        model=subject.model,
        group=subject.group,
        seed=subject.seed,
        options=subject.options,
        metrics={"success_rate": Metric(50.0, "%", 10)} if status == "ok" else {},
        status=status,
        message="" if status == "ok" else status,
        data_sha256=sha(files.data),
        weights_sha256=own if weights is None else weights,
        facts={"source_sha256": files.source} if files.source else {},
        seconds={"total": 10.0},
    )


class InTurn:
    """A launcher that runs a function in place of a command.

    Args:
        work: Is given the task, leaves what it leaves, and returns exit status and message.
    """

    plans_ahead = False
    place = "here"

    def __init__(self, work: Callable[[Task], tuple[int, str]], capacity: int = 2) -> None:
        self.work, self.capacity = work, capacity
        self.waiting: list[Task] = []
        self.log: list[str] = []
        self.most = 0
        self.stopped = False

    def start(self, tasks: Sequence[Task]) -> None:
        self.waiting += tasks
        self.most = max(self.most, len(self.waiting))

    def poll(self, timeout: float) -> list[Outcome]:
        if not self.waiting:
            return []
        task = self.waiting.pop(0)
        self.log.append(task.name)
        return [Outcome(task.key, *self.work(task), 1.0)]

    def running(self) -> Mapping[str, float]:
        return {task.key: 1.0 for task in self.waiting}

    def stop(self) -> None:
        self.stopped = True


class Silent:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def changed(self, progress, outcome) -> None:
        self.seen.append((progress.run.name, progress.state))

    def waiting(self, sweep) -> None:
        pass
