"""The Slurm launcher against stand-ins for Slurm's commands: what it submits, and what it makes of the queue."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from autovul.base.errors import UsageError, UserError
from autovul.base.sweep import lock
from autovul.base.sweep.launchers import elsewhere, slurm, slurm_queue
from autovul.base.sweep.launchers.choice import choose
from autovul.base.sweep.launchers.slurm import SlurmLauncher
from autovul.base.sweep.launchers.slurm_job import Job, read_answer
from autovul.base.sweep.options import MachineOptions
from autovul.base.sweep.task import BUSY, LOST, Outcome, Task

pytest.importorskip("submitit")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Slurm's machines run Linux")


class Queue:
    """Slurm as files: what was submitted, which jobs there are, what was cancelled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin = folder / "bin"
        bin.mkdir()
        self._script("sinfo", f"cat {folder}/nodes")
        self._script("squeue", f"cat {folder}/states")
        self._script("scancel", f'printf "%s\\n" "$@" >> {folder}/cancelled')
        self._script("srun", "exit 1")
        self._script("sbatch", f"number=$(($(ls {folder} | grep -c '^[0-9]*.sh$') + 1))\n"
                     f'cp "$1" {folder}/$number.sh\necho "Submitted batch job $number"')  # fmt: skip
        self.nodes("main*|2|4|(null)")
        self.states({})

    def _script(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def nodes(self, *lines: str) -> None:
        (self.folder / "nodes").write_text("".join(f"{line}\n" for line in lines))

    def states(self, found: dict[str, str]) -> None:
        (self.folder / "states").write_text("".join(f"{job}|{state}\n" for job, state in found.items()))

    def fail(self, command: str, message: str) -> None:
        self._script(command, f"echo '{message}' >&2; exit 1")

    def submitted(self) -> list[dict[str, str]]:
        """The parameters of each script, in order."""
        found = []
        for path in sorted(self.folder.glob("*.sh"), key=lambda path: int(path.stem)):
            words = [shlex.split(line)[1] for line in path.read_text().splitlines() if line.startswith("#SBATCH")]
            found.append({name: value for name, _, value in (word[2:].partition("=") for word in words)})
        return found

    @property
    def cancelled(self) -> list[str]:
        path = self.folder / "cancelled"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "ANSWER_SECONDS", 0.0)
    return Queue(tmp_path)


@pytest.fixture
def task(tmp_path):
    def make(key, *after, argv=("--version",)):
        return Task(key, key, argv, tmp_path, tmp_path / "logs" / key, tmp_path / "locks" / key, after=after)

    return make


@pytest.fixture
def launcher(queue, tmp_path):
    def make(gpus=0, **options):
        return SlurmLauncher(MachineOptions(launcher="slurm", **options), gpus, tmp_path / "slurm")

    return make


def answer(launcher, key):
    return launcher._submitted[key].answer


def test_arrays_of_what_waits_for_the_same(queue, launcher, task):
    mine = launcher()
    mine.start([task("a"), task("c", "a"), task("b"), task("e", "a", "b"), task("d", "a"), task("f", "e")])
    assert [(each.get("array"), each.get("dependency")) for each in queue.submitted()] == [
        ("0-1%2", None),
        ("0-1%2", "afterok:1_0"),
        (None, "afterok:1_0:1_1"),
        (None, "afterok:3"),
    ]
    jobs = {key: each.job for key, each in mine._submitted.items()}
    assert jobs == {"a": "1_0", "b": "1_1", "c": "2_0", "d": "2_1", "e": "3", "f": "4"}
    assert all(each["kill-on-invalid-dep"] == "yes" and "requeue" in each for each in queue.submitted())


def test_every_job_carries_its_own_task(queue, launcher, task, tmp_path):
    from submitit.core.utils import DelayedSubmission

    mine = launcher()
    mine.start([task("a"), task("b"), task("c", "b")])
    for key, job in [("a", "1_0"), ("b", "1_1"), ("c", "2")]:
        found = DelayedSubmission.load(tmp_path / "slurm" / "jobs" / f"{job}_submitted.pkl").function
        assert (found.task.key, found.answer) == (key, answer(mine, key))


def test_what_a_job_is_given(queue, launcher, task):
    queue.nodes("short|1|4|gpu:2")
    mine = launcher(
        gpus=1, threads=2, jobs=3, slurm_partition="short", slurm_time=90.5, slurm_memory=1.5,
        slurm_options=("account=me", "exclusive", "comment=a=b"),
    )  # fmt: skip
    mine.start([task(key) for key in "abcd"])
    (found,) = queue.submitted()
    expected = {"array": "0-3%3", "cpus-per-task": "2", "gpus-per-node": "1", "partition": "short", "time": "91",
                "mem": "1.5G", "account": "me", "exclusive": "", "comment": "a=b", "job-name": "autovul"}  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    assert (mine.capacity, mine.place) == (2, "Slurm, partition short")


@pytest.mark.parametrize(
    "nodes,gpus,capacity,given",
    [
        (["main*|2|4|(null)"], None, 8, 0),
        (["main*|2|4|(null)", "other|9|9|gpu:8"], None, 8, 0),
        (["main*|2|64+|gpu:a100:4(S:0-1)", "main*|1|8|(null)"], None, 8, 1),
        (["main*|2|64|gpu:a100:4(S:0,1),gpu:v100:2"], 2, 6, 2),
        (["main*|1|8|shard:8,gpu"], None, 1, 1),
        (["a|1|3|(null)", "b|1|4|(null)"], None, 7, 0),
    ],
)
def test_room_in_a_partition(queue, launcher, nodes, gpus, capacity, given):
    queue.nodes(*nodes)
    mine = launcher(gpus=gpus)
    assert (mine.capacity, mine.gpus) == (capacity, given)


def test_outcomes_come_from_files_alone(queue, launcher, task):
    mine = launcher()
    mine.start([task("a"), task("b")])
    queue.states({"1_0": "RUNNING", "1_1": "PENDING"})
    assert mine.poll(0) == []
    assert [*mine.running()] == ["a"]
    with pytest.raises(SystemExit):
        Job(task("b", argv=("nonsense",)), answer(mine, "b"))()
    (outcome,) = mine.poll(0)
    assert (outcome.key, outcome.status) == ("b", 2)
    assert "unknown command 'nonsense'" in outcome.message
    assert mine.poll(0) == []


@pytest.mark.parametrize("state", ["TIMEOUT", "CANCELLED", "NODE_FAIL", None])
def test_a_job_that_ended_without_an_outcome_is_lost(queue, launcher, task, state):
    mine = launcher()
    mine.start([task("a")])
    queue.states({"1": state} if state else {})
    (outcome,) = mine.poll(0.1)
    assert (outcome.key, outcome.status) == ("a", LOST)
    assert (state or "gone") in outcome.message


@pytest.mark.parametrize("state", ["REQUEUED", "PREEMPTED", "COMPLETING", "CONFIGURING", "SUSPENDED"])
def test_a_job_in_between_is_waited_for(queue, launcher, task, state):
    mine = launcher()
    mine.start([task("a")])
    queue.states({"1": state})
    assert mine.poll(0.1) == []


def test_what_waits_for_a_failure_is_given_back_after_it(queue, launcher, task):
    mine = launcher()
    mine.start([task("a"), task("b", "a"), task("c", "b")])
    queue.states({})
    found = [outcome for _ in range(6) for outcome in mine.poll(0.01)]
    assert [(each.key, each.status) for each in found] == [("a", LOST), ("b", BUSY), ("c", BUSY)]
    # The sweep tries again: nobody waits for the old jobs.
    mine.start([task("a"), task("b", "a")])
    assert queue.submitted()[-1]["dependency"] == "afterok:4"


def test_a_silent_controller_is_no_end(queue, launcher, task):
    mine = launcher()
    mine.start([task("a")])
    queue.fail("squeue", "slurm_load_jobs error: Unable to contact slurm controller")
    assert mine.poll(0.1) == []


def test_a_later_sweep_follows_the_same_jobs(queue, launcher, task):
    launcher().start([task("a"), task("b"), task("c", "b")])  # whose process is gone then
    queue.states({"1_0": "RUNNING", "1_1": "COMPLETED", "2": "PENDING"})
    later = launcher()
    later.start([task("a"), task("b"), task("c", "b")])
    assert {key: each.job for key, each in later._submitted.items()} == {"a": "1_0", "c": "2", "b": "3"}
    queue.states({"1_0": "RUNNING", "2": "PENDING", "3": "PENDING"})
    Job(task("a"), answer(later, "a"))()
    assert [(each.key, each.status) for each in later.poll(0)] == [("a", 0)]
    # What was answered is done with, even while Slurm still tidies up after it.
    later.start([task("a")])
    assert later._submitted["a"].job == "4"


def test_stop_cancels_what_is_left(queue, launcher, task):
    mine = launcher()
    mine.start([task("a"), task("b"), task("c", "a")])
    queue.states({"1_0": "RUNNING", "2": "PENDING"})
    Job(task("b"), answer(mine, "b"))()
    assert len(mine.poll(0)) == 1
    queue.states({})
    mine.stop()
    mine.stop()
    assert sorted(queue.cancelled) == ["--quiet", "1_0", "2"]


def test_stop_can_leave_them(queue, launcher, task):
    mine = launcher(slurm_keep=True)
    mine.start([task("a")])
    mine.stop()
    assert queue.cancelled == []


def test_what_sbatch_refuses(queue, launcher, task):
    mine = launcher()
    queue.fail("sbatch", "sbatch: error: Batch job submission failed: Invalid account")
    with pytest.raises(UserError) as refused:
        mine.start([task("a"), task("b")])
    assert str(refused.value) == "sbatch: Batch job submission failed: Invalid account"


def test_no_slurm(launcher, queue, monkeypatch, tmp_path):
    queue.nodes()
    with pytest.raises(UserError, match="no partition 'night'"):
        launcher(slurm_partition="night")
    queue.nodes("main*|2|4|(null)")
    with pytest.raises(UserError, match="no node with 5 CPUs and 0 GPUs"):
        launcher(threads=5)
    queue.fail("sinfo", "slurm_load_partitions: Unable to contact slurm controller (connect failure)")
    with pytest.raises(UserError, match=r"Unable to contact slurm controller \(connect failure\)"):
        launcher()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="no sbatch"):
        slurm_queue.nodes(None)


def test_without_submitit(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="pip install submitit"):
        choose(MachineOptions(launcher="slurm"), "auto", tmp_path)


def test_slurm_shares_no_gpu(tmp_path):
    with pytest.raises(UsageError, match=r"whole GPUs, not 0\.5"):
        choose(MachineOptions(launcher="slurm", gpus=0.5), "auto", tmp_path)


def test_a_requeued_job_leaves_no_outcome_and_comes_back_as_itself(task, tmp_path):
    job = Job(task("a"), tmp_path / "answer")
    again = job.checkpoint().function
    with pytest.raises(SystemExit):
        job()
    assert read_answer(tmp_path / "answer") is None
    again()
    outcome = read_answer(tmp_path / "answer")
    assert outcome is not None and (outcome.key, outcome.status) == ("a", 0)
    assert re.search(r"autovul \d", (tmp_path / "logs" / "a").read_text())


@pytest.mark.parametrize("state,comes_back", [("RUNNING", True), ("COMPLETING", False), ("CANCELLED", False)])
def test_a_job_told_to_leave_comes_back_unless_cancelled(queue, task, tmp_path, monkeypatch, state, comes_back):
    (tmp_path / "states").write_text(f"{state}\n")
    queue._script("scontrol", f'echo "$@" > {tmp_path}/requeued')
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(elsewhere, "run", lambda task: os.kill(os.getpid(), signal.SIGTERM))
    former = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as left:
            Job(task("a"), tmp_path / "answer")()
        assert left.value.code == 143
        monkeypatch.setattr(elsewhere, "run", lambda task: Outcome("a", left.value.code))
        with pytest.raises(SystemExit):
            Job(task("a"), tmp_path / "answer")()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert read_answer(tmp_path / "answer") is None
    assert (tmp_path / "requeued").exists() == comes_back
    assert not comes_back or (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_a_job_waits_until_a_dead_one_s_lock_is_stale(task, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "STALE", 0.3)
    mine = task("a")
    mine.lock.parent.mkdir()
    mine.lock.write_text('{"host": "another", "pid": 1}')
    Job(mine, tmp_path / "answer")()
    outcome = read_answer(tmp_path / "answer")
    assert outcome is not None and outcome.status == 0
