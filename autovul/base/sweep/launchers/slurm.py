"""Tasks as Slurm jobs: all submitted at once, those that wait for the same in one array."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autovul.base.atomic import whole_file
from autovul.base.errors import UserError
from autovul.base.sweep.launchers import elsewhere, slurm_queue
from autovul.base.sweep.launchers.slurm_job import Job, read_answer
from autovul.base.sweep.options import MachineOptions
from autovul.base.sweep.task import BUSY, GRACE, LOST, Outcome, Task

LOOK_SECONDS = 10.0  # between two looks at Slurm's queue
ANSWER_SECONDS = 30.0  # how long an outcome may take to be seen on shared storage after its job has ended
LARGEST_ARRAY = 1000  # Slurm's own limit, unless configured
TIMEOUTS = 20  # as often a job may reach its time limit, and go on in a new one


@dataclass
class Submitted:
    """A task in Slurm's hands.

    Args:
        task: The task.
        job: Its number there.
        answer: File where it leaves its outcome.
        started: When it was first seen running.
        gone: When it was first seen to have ended without an outcome.
    """

    task: Task
    job: str
    answer: Path
    started: float | None = None
    gone: float | None = None


class SlurmLauncher:
    """Submits tasks to Slurm.

    A task starts when those before it have ended well; if one of them does not, Slurm drops the task, and the sweep
    decides. Jobs outlive the sweep's process if that is killed or its session ends; another sweep on the same folder
    then follows the same jobs.

    Args:
        options: What each job gets.
        gpus: GPUs of a task; None: one where the partition has any.
        folder: For job files and outcomes; on shared storage.

    Raises:
        UserError: submitit or Slurm is missing, or no node is large enough.
    """

    plans_ahead = True

    def __init__(self, options: MachineOptions, gpus: float | None, folder: Path) -> None:
        self._submitit = _submitit()
        kinds = slurm_queue.nodes(options.slurm_partition)
        self.gpus = int(any(each.gpus for each in kinds) if gpus is None else gpus)
        self._options, self._folder = options, folder
        fits = sum(each.count * min(each.cpus // options.threads, _share(each.gpus, self.gpus)) for each in kinds)
        if not fits:
            raise UserError(f"Slurm has no node with {options.threads} CPUs and {self.gpus} GPUs for a run")
        self.capacity = min(int(fits), options.jobs or int(fits))
        self.place = f"Slurm, partition {options.slurm_partition}" if options.slurm_partition else "Slurm"
        self._submitted: dict[str, Submitted] = {}
        self._failed: set[str] = set()
        self._states: Mapping[str, str] = {}
        self._looked = -math.inf

    def start(self, tasks: Sequence[Task]) -> None:
        """Submit tasks, or follow the jobs that an earlier sweep submitted for them."""
        active = slurm_queue.active()
        left = [task for task in tasks if not self._follow(task, active)]
        self._failed.difference_update(task.key for task in tasks)
        while left:
            waiting = {task.key for task in left}
            ready = next(task.after for task in left if not waiting.intersection(task.after))
            together = [task for task in left if task.after == ready][:LARGEST_ARRAY]
            self._submit(together)
            submitted = {task.key for task in together}
            left = [task for task in left if task.key not in submitted]
        self._looked = -math.inf

    def poll(self, timeout: float) -> list[Outcome]:
        """The tasks that ended."""
        end = time.monotonic() + timeout
        while True:
            self._look()
            if outcomes := [outcome for each in [*self._submitted.values()] if (outcome := self._ended(each))]:
                return outcomes
            if time.monotonic() >= end:
                return []
            time.sleep(min(1.0, timeout))

    def running(self) -> Mapping[str, float]:
        """Seconds so far by key."""
        now = time.monotonic()
        return {key: now - each.started for key, each in self._submitted.items() if each.started is not None}

    def stop(self) -> None:
        """Cancel the jobs and wait for what they save; or leave them in the queue, if told so."""
        jobs = {each.job for each in self._submitted.values()}
        self._submitted.clear()
        if self._options.slurm_keep or not jobs:
            return
        slurm_queue.cancel(jobs)
        end = time.monotonic() + GRACE
        with contextlib.suppress(UserError):  # nothing left to wait for that can be seen
            while time.monotonic() < end and jobs.intersection(slurm_queue.active()):
                time.sleep(1)

    def _submit(self, tasks: Sequence[Task]) -> None:
        before = [self._submitted[key].job for key in tasks[0].after if key in self._submitted]
        answers = [self._folder / "outcomes" / f"{task.key}-{uuid.uuid4().hex[:8]}.outcome" for task in tasks]
        errors = self._submitit.core.utils
        executor = self._submitit.SlurmExecutor(self._folder / "jobs", max_num_timeout=TIMEOUTS)
        try:
            executor.update_parameters(**self._parameters(before))
            with _outside_of_jobs(self._submitit), executor.batch():
                jobs = [executor.submit(Job(task, answer)) for task, answer in zip(tasks, answers, strict=True)]
        except (errors.FailedJobError, errors.FailedSubmissionError) as error:
            raise UserError(f"sbatch: {_reason(str(error))}") from None
        for task, answer, job in zip(tasks, answers, jobs, strict=True):
            self._submitted[task.key] = Submitted(task, job.job_id, answer)
            with whole_file(self._note(task)) as file:
                file.write(json.dumps({"job": job.job_id, "answer": str(answer)}).encode())

    def _parameters(self, before: Sequence[str]) -> dict[str, Any]:
        options = self._options
        words = [each.partition("=") for each in options.slurm_options]
        further = {name: value if sign else True for name, sign, value in words}
        found: dict[str, Any] = {
            "job_name": "autovul",
            "partition": options.slurm_partition,
            "time": max(1, math.ceil(options.slurm_time)),
            "cpus_per_task": options.threads,
            "gpus_per_node": self.gpus or None,
            "mem": f"{options.slurm_memory:g}G" if options.slurm_memory else None,
            "array_parallelism": options.jobs or LARGEST_ARRAY,
            "dependency": f"afterok:{':'.join(before)}" if before else None,
            "setup": [f"export PYTHONPATH={shlex.quote(elsewhere.python_path())}"],
            # Slurm drops what waits for a job that failed, instead of keeping it for ever.
            "additional_parameters": {"kill-on-invalid-dep": "yes", "requeue": True, **further},
        }
        return {name: value for name, value in found.items() if value is not None}

    def _follow(self, task: Task, active: Mapping[str, str]) -> bool:
        try:
            note = json.loads(self._note(task).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        if note["job"] not in active:
            return False
        self._submitted[task.key] = Submitted(task, note["job"], Path(note["answer"]))
        return True

    def _note(self, task: Task) -> Path:
        return self._folder / "submitted" / f"{task.key}.job"

    def _look(self) -> None:
        if not self._submitted or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            self._states = slurm_queue.states()
        except UserError:  # a busy controller; the next look may find it in better health
            return
        for each in self._submitted.values():
            state = self._states.get(each.job, "gone")
            each.started = (each.started or self._looked) if state == "RUNNING" else None
            ended = state == "gone" or state in slurm_queue.ENDED
            each.gone = (each.gone or self._looked) if ended else None

    def _ended(self, each: Submitted) -> Outcome | None:
        key = each.task.key
        outcome = read_answer(each.answer)
        if outcome is None:
            state = self._states.get(each.job, "gone")
            if each.gone is None or any(before in self._submitted for before in each.task.after):
                return None
            if any(before in self._failed for before in each.task.after):
                outcome = Outcome(key, BUSY, "what comes first did not end well")
            elif time.monotonic() - each.gone > ANSWER_SECONDS:
                outcome = Outcome(key, LOST, f"Slurm's job {each.job} ended without an outcome: {state}")
            else:
                return None
        del self._submitted[key]
        self._note(each.task).unlink(missing_ok=True)
        each.answer.unlink(missing_ok=True)
        if outcome.status:
            self._failed.add(key)
        return outcome


def _share(there: int, needed: int) -> float:
    return there // needed if needed else math.inf


@contextlib.contextmanager
def _outside_of_jobs(submitit: Any) -> Iterator[None]:
    """Hide from sbatch that the sweep itself may run in a job; where Slurm's configuration lies has to stay."""
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with submitit.helpers.clean_env(), submitit.helpers.environment_variables(**kept):
        yield


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError("--launcher slurm needs the package submitit: pip install submitit") from None
    return submitit


def _reason(text: str) -> str:
    """The line of an error of sbatch that says why."""
    lines = [line.strip() for line in text.splitlines() if "error:" in line]
    return lines[-1].rpartition("error:")[2].strip() if lines else " ".join(text.split())
