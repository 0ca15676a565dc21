"""Runs what is missing of a plan, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from autovul.base.sweep import lock
from autovul.base.sweep.ledger import Done, Ledger
from autovul.base.sweep.plan import Run
from autovul.base.sweep.task import BUSY, INTERRUPTED, LOST, Launcher, Outcome, Task

POLL = 1.0  # seconds
LOOK_AGAIN = 5.0  # seconds between two looks at what another sweep runs
USAGE = 2  # exit status of a command that was asked for something impossible: trying again would not help
LOSSES = 3  # as often a run may lose its process or machine; that is rarely the run's own fault
INTERRUPTIONS = 20  # as often a run may be stopped: a queue may do so now and then, what stops every try never ends

State = Literal["waiting", "running", "elsewhere", "ok", "diverged", "failed", "skipped"]
FINAL = frozenset({"ok", "diverged", "failed", "skipped"})


@dataclass
class Progress:
    """How one run of the plan stands."""

    run: Run
    state: State = "waiting"
    message: str = ""
    tries: int = 0
    lost: int = 0
    interruptions: int = 0
    found: bool = False  # its result was there before this sweep ran it
    needed: bool = False  # for its weights, which are gone, though its result is there
    look_again: float = 0.0


class Observer(Protocol):
    """Is told of every change."""

    def changed(self, progress: Progress, outcome: Outcome | None) -> None: ...

    def waiting(self, sweep: Sweep) -> None: ...


@dataclass
class Sweep:
    """A plan and how far it has come.

    A run is done when there is a record of it that holds, whoever made it; so a sweep can be killed at any moment and
    started again, and several can work on one folder.

    Args:
        runs: The plan, in order.
        ledger: Knows the records.
        launcher: Runs commands.
        observer: Shows what happens.
        log_dir: Folder of the logs of runs.
        threads, gpus: What each run gets.
        retries: How often a run that failed is tried again.
        deadline: When to stop, by `time.monotonic`; None: never.
    """

    runs: Sequence[Run]
    ledger: Ledger
    launcher: Launcher
    observer: Observer
    log_dir: Path
    threads: int = 1
    gpus: float = 0
    retries: int = 1
    deadline: float | None = None
    progress: dict[str, Progress] = field(default_factory=dict)
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self.progress = {run.key: Progress(run) for run in self.runs}

    def look(self) -> None:
        """Find out which runs have a result that holds, from the records alone."""
        self._refresh()
        for each in self.progress.values():
            # What came of weights that are to be made anew is no result of theirs.
            ready = all(self.progress[key].state in FINAL for key in each.run.after)
            if ready and each.state not in FINAL and not each.needed and (status := self.ledger.status(each.run)):
                each.state, each.found = status, True
        self._bring_back_lost_weights()
        for run in self.runs:
            if self.progress[run.key].state == "waiting" and run.subject.trains:
                self.ledger.require_own_weights(run)

    def go(self) -> None:
        """Run what is missing. Interruptions come out as they are, after the launcher has been stopped."""
        self.look()
        for each in self.in_state("waiting"):
            self.ledger.data_sha256(each.run)  # read, or fetched, once, before several processes need it
        try:
            while self._goes_on():
                self._look_elsewhere()
                self._skip_hopeless()
                if tasks := self._next():
                    self.launcher.start(tasks)
                for outcome in self.launcher.poll(POLL):
                    self._take(outcome)
                self.observer.waiting(self)
        finally:
            self.launcher.stop()
        for each in self.in_state("running"):
            each.state, each.message = "waiting", "stopped"

    def in_state(self, *states: State) -> list[Progress]:
        """The runs in these states."""
        return [each for each in self.progress.values() if each.state in states]

    @property
    def out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _goes_on(self) -> bool:
        return bool(self.in_state("waiting", "running", "elsewhere")) and not self.out_of_time

    def _refresh(self) -> None:
        self._looked = time.time()
        self.ledger.refresh(run.subject.experiment for run in self.runs)

    def _bring_back_lost_weights(self) -> None:
        """A training whose weights are gone is repeated if somebody still needs them."""
        for each in [*self.in_state("waiting")]:
            for key in each.run.after:
                first = self.progress[key]
                weights = first.run.subject.weights
                needed = first.run.subject.trains and first.state == "ok" and weights is not None
                if needed and weights is not None and not weights.is_file():
                    first.state, first.found, first.needed = "waiting", False, True

    def _skip_hopeless(self) -> None:
        for each in self.in_state("waiting"):
            for key in each.run.after:
                first = self.progress[key]
                if first.state in ("failed", "diverged", "skipped"):
                    each.message = f"{first.run.name} {first.state}"
                    self._change(each, "skipped", None)
                    break

    def _next(self) -> list[Task]:
        tasks: list[Task] = []
        ahead = self.launcher.plans_ahead
        room = len(self.runs) if ahead else self.launcher.capacity - len(self.in_state("running"))
        if room > 0 and self.in_state("waiting"):
            self._refresh()
        for each in self.in_state("waiting"):
            if len(tasks) >= room:
                break
            afters = [self.progress[key] for key in each.run.after]
            ready = all(first.state in FINAL for first in afters)
            if not (ready or (ahead and all(first.state in {"running", *FINAL} for first in afters))):
                continue
            # Its victim may be the very one that an older record is about.
            if ready and not each.needed and (status := self.ledger.status(each.run)):
                each.found = True
                self._change(each, status, None)
                continue
            each.state = "running"
            tasks.append(self._task(each.run, needed=each.needed))
        return tasks

    def _task(self, run: Run, *, needed: bool) -> Task:
        name = "_".join(run.name.replace("/", "-").replace("=", "-").split())
        waiting = tuple(key for key in run.after if self.progress[key].state not in FINAL)
        return Task(
            key=run.key,
            name=run.name,
            argv=run.argv,
            folder=Path.cwd(),
            log=self.log_dir / f"{name}_{run.key[:8]}.log",
            lock=self._lock(run),
            records=None if needed else self.ledger.result_dir.absolute() / run.subject.experiment,
            since=self._looked,
            threads=self.threads,
            gpus=self.gpus,
            after=waiting,
        )

    def _lock(self, run: Run) -> Path:
        return self.ledger.result_dir.absolute() / ".sweep" / "locks" / f"{run.key}.lock"

    def _take(self, outcome: Outcome) -> None:
        each = self.progress[outcome.key]
        if outcome.status == BUSY:
            each.state, each.look_again = "elsewhere", time.monotonic() + LOOK_AGAIN
            return
        self.ledger.refresh([each.run.subject.experiment])
        if status := self._status(each):
            each.message = self.ledger.diagnosis(each.run) if status != "ok" else ""
            self.ledger.forgive(each.run)
            self._change(each, status, outcome)
            return
        each.message = outcome.message
        if outcome.status == 0:
            each.message = "the command ended well, and left no record of this run"
        each.lost += outcome.status == LOST
        each.interruptions += outcome.status in INTERRUPTED
        each.tries += outcome.status not in (*INTERRUPTED, LOST)
        too_often = each.tries > self.retries or each.lost > LOSSES or each.interruptions > INTERRUPTIONS
        if too_often or outcome.status == USAGE:
            self.ledger.fail(each.run, each.message)
            self._change(each, "failed", outcome)
        else:
            self._change(each, "waiting", outcome)

    def _look_elsewhere(self) -> None:
        now = time.monotonic()
        for each in self.in_state("elsewhere"):
            if now < each.look_again:
                continue
            each.look_again = now + LOOK_AGAIN
            self.ledger.refresh([each.run.subject.experiment])
            if status := self._status(each):
                each.found = True
                self._change(each, status, None)
            elif not lock.is_held(self._lock(each.run)):
                each.state = "waiting"

    def _status(self, each: Progress) -> Done | None:
        """By its records; of a training that is repeated for its weights, which are gone, only with weights."""
        weights = each.run.subject.weights
        if each.needed and weights is not None and not weights.is_file():
            return None
        return self.ledger.status(each.run)

    def _change(self, each: Progress, state: State, outcome: Outcome | None) -> None:
        each.state = state
        self.observer.changed(each, outcome)
