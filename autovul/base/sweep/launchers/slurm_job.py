"""What a Slurm job of a sweep does, on whatever node it starts, once or, after a preemption, again."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from autovul.base.atomic import whole_file
from autovul.base.sweep import lock
from autovul.base.sweep.launchers import elsewhere, slurm_queue
from autovul.base.sweep.task import BUSY, INTERRUPTED, Outcome, Task


class Job:
    """A task as submitit runs it. Its outcome goes to a file, and its exit status to Slurm, for those who depend on it.

    A job that is preempted or reaches its time limit leaves no outcome: Slurm puts it in the queue again, and as
    training commands resume, it goes on from its last checkpoint.

    Args:
        task: The task.
        answer: File for its outcome.
    """

    def __init__(self, task: Task, answer: Path) -> None:
        self.task, self.answer = task, answer
        self._requeued = False

    def __call__(self) -> None:
        # submitit ignores this signal, with which Slurm announces a preemption. Training takes it over, to save first.
        signal.signal(signal.SIGTERM, _leave)
        outcome = self._run()
        if outcome.status in INTERRUPTED and not self._requeued:
            # To Slurm, a job that ends within its time of grace has simply ended: it would not come back.
            slurm_queue.requeue_if_running(os.environ.get("SLURM_JOB_ID", ""))
        if outcome.status in INTERRUPTED or self._requeued:
            raise SystemExit(outcome.status)
        with whole_file(self.answer) as file:
            file.write(json.dumps(dataclasses.asdict(outcome)).encode())
        if outcome.status:
            raise SystemExit(outcome.status)

    def checkpoint(self) -> Any:
        """Asked by submitit when the job has to leave: what runs when it comes back."""
        from submitit.helpers import DelayedSubmission

        self._requeued = True
        return DelayedSubmission(Job(self.task, self.answer))

    def _run(self) -> Outcome:
        # Killed on one node and started on another: the lock needs its time to be seen as nobody's.
        end = time.monotonic() + lock.STALE + 2 * lock.BEAT
        while (outcome := elsewhere.run(self.task)).status == BUSY and time.monotonic() < end:
            time.sleep(lock.BEAT)
        return outcome


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def read_answer(path: Path) -> Outcome | None:
    """The outcome that a job left; None as long as there is none."""
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
