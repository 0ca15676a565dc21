"""What Slurm's own commands say, and nothing that needs its accounting."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

from autovul.base.errors import UserError

SECONDS = 60.0
ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
)


@dataclass(frozen=True)
class Nodes:
    """Nodes of the same kind.

    Args:
        count: Their number.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """

    count: int
    cpus: int
    gpus: int


def nodes(partition: str | None) -> list[Nodes]:
    """The nodes of a partition; None: of the one that Slurm takes by default.

    Raises:
        UserError: Slurm is not installed, does not answer, or has no such partition.
    """
    if shutil.which("sbatch") is None:
        raise UserError("--launcher slurm: this machine has no sbatch; start the sweep where you submit jobs")
    chosen = ["-p", partition] if partition else []
    lines = [line.split("|") for line in _ask("sinfo", "-h", "-o", "%P|%D|%c|%G", *chosen)]
    if not lines:
        raise UserError(f"--slurm_partition: Slurm has no partition {partition!r}")
    mine = [line for line in lines if partition or line[0].endswith("*")] or lines
    return [Nodes(int(count), int(cpus.rstrip("+")), _gpus(generic)) for _, count, cpus, generic in mine]


def states() -> dict[str, str]:
    """The state of each of the user's jobs, by its number or, in an array, ``NUMBER_PLACE``.

    Raises:
        UserError: Slurm does not answer.
    """
    lines = _ask("squeue", "-h", "--me", "-r", "-t", "all", "-o", "%i|%T")
    return {number: state for line in lines for number, _, state in [line.partition("|")]}


def active() -> dict[str, str]:
    """The states of the user's jobs that wait or run."""
    return {number: state for number, state in states().items() if state not in ENDED}


def cancel(jobs: Collection[str]) -> None:
    """Cancel jobs, those that have ended already included."""
    if jobs:
        _ask("scancel", "--quiet", *jobs)


def requeue_if_running(job: str) -> None:
    """Put a job that is about to leave its node back into the queue; not one that somebody has cancelled."""
    with contextlib.suppress(UserError):
        if job and _ask("squeue", "-h", "-j", job, "-o", "%T") == ["RUNNING"]:
            _ask("scontrol", "requeue", job)


def _ask(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"Slurm does not answer: {command[0]} took more than {SECONDS:g} seconds") from None
    if done.returncode:
        reason = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise UserError(f"Slurm does not answer: {reason}")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _gpus(generic: str) -> int:
    """The number of GPUs among generic resources, such as ``gpu:a100:4(S:0-1),shard:8``."""
    found = [re.fullmatch(r"gpu(?::[^:()]+)??(?::(\d+))?(?:\(.*\))?", each) for each in re.split(r",(?!\d)", generic)]
    return sum(int(each[1] or 1) for each in found if each)
