"""Tasks as processes of this machine: what they print, how they end, and what becomes of them when somebody dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from autovul.base.errors import UsageError
from autovul.base.sweep.launchers.choice import choose
from autovul.base.sweep.launchers.local import LocalLauncher
from autovul.base.sweep.options import MachineOptions
from autovul.base.sweep.task import BUSY, LOST, Task
from autovul.base.sweep.worker import last_line


def task(folder: Path, *argv: str, key: str = "key") -> Task:
    return Task(key, key, argv, folder, folder / "log" / f"{key}.log", folder / "locks" / f"{key}.lock")


def end(launcher: LocalLauncher, count: int = 1, seconds: float = 120.0):
    found, start = [], time.monotonic()
    while len(found) < count:
        assert time.monotonic() - start < seconds, "nothing ended"
        found += launcher.poll(1.0)
    return found


@pytest.fixture
def launcher():
    found = LocalLauncher([None, None])
    yield found
    found.stop()


def test_commands_run_by_name_and_leave_a_log(launcher, tmp_path):
    launcher.start([task(tmp_path, "--version", key="good"), task(tmp_path, "trian", key="bad")])
    outcomes = {outcome.key: outcome for outcome in end(launcher, 2)}
    assert (outcomes["good"].status, outcomes["good"].message) == (0, "")
    assert (tmp_path / "log" / "good.log").read_text().startswith("> autovul --version\nautovul 0")
    assert outcomes["bad"].status == 2
    assert "unknown command 'trian'" in outcomes["bad"].message
    assert list((tmp_path / "locks").iterdir()) == []
    assert launcher.running() == {}


def test_a_task_that_somebody_else_runs_is_left_alone(launcher, tmp_path):
    one = task(tmp_path, "--version")
    one.lock.parent.mkdir()
    one.lock.write_text(json.dumps({"host": "another", "pid": 1}))
    launcher.start([one])
    assert end(launcher)[0].status == BUSY
    assert not one.log.exists()


def slow(folder: Path, key: str) -> Task:
    """A training that takes longer than the test."""
    network = ("-d", "digits", "-m", "resnet18_comp", "--width", "0.0625")
    argv = ("train", *network, "--epoch", "1000", "--device", "cpu", "--no-tqdm")
    return task(folder, *argv, key=key)


def wait_until_it_works(one: Task) -> None:
    log = one.folder / "data" / "log" / "image" / "digits" / "resnet18_comp.jsonl"
    for _ in range(1200):
        if log.exists() and log.read_text().count('"event": "epoch"') > 1:
            return
        time.sleep(0.05)
    raise AssertionError(f"no epoch has ended: {one.log.read_text() if one.log.exists() else 'no log'}")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_process_is_lost_and_its_place_is_free_again(launcher, tmp_path):
    one = slow(tmp_path, "one")
    launcher.start([one])
    wait_until_it_works(one)
    (worker,) = launcher._workers.values()
    os.kill(worker.process.pid, signal.SIGKILL)
    (outcome,) = end(launcher)
    assert outcome.status == LOST
    assert "SIGKILL" in outcome.message
    launcher.start([task(tmp_path, "--version", key="next")])
    assert end(launcher)[0].status == 0


@pytest.mark.slow
def test_stopping_lets_a_training_save_its_state(launcher, tmp_path):
    one = slow(tmp_path, "one")
    launcher.start([one])
    wait_until_it_works(one)
    launcher.stop()
    assert (tmp_path / "data" / "model" / "image" / "digits" / "resnet18_comp.state").exists()
    assert "continue with --resume" in last_line(one.log)


PARENT = """
    import sys
    from pathlib import Path
    from tests.base.sweep.test_local import slow
    from autovul.base.sweep.launchers.local import LocalLauncher
    if __name__ == "__main__":
        launcher = LocalLauncher([None])
        launcher.start([slow(Path(sys.argv[1]), "one")])
        while True:
            launcher.poll(10)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_nobody_outlives_a_sweep_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    root = str(Path(__file__).parents[3])
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": root})
    one = slow(tmp_path, "one")
    try:
        wait_until_it_works(one)
        child = json.loads(one.lock.read_text())["pid"]
    finally:
        parent.kill()
        parent.wait()
    for _ in range(600):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        raise AssertionError("the run went on without its sweep")
    # It was asked to stop, not killed: what it had is saved.
    assert (tmp_path / "data" / "model" / "image" / "digits" / "resnet18_comp.state").exists()


def test_last_line(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == "no log (No such file or directory)"
    log.write_bytes(b"first\nsecond\r\rbar 10 %\rbar 90 %\n\n")
    assert last_line(log) == "bar 90 %"
    assert last_line(log, begin=len(b"first\nsecond\r\rbar 10 %\rbar 90 %\n")) == ""


@pytest.mark.parametrize(
    ("options", "device", "message"),
    [({}, "cuda:1", "CUDA_VISIBLE_DEVICES=1"), ({"gpus": 0.5}, "auto", "--gpus is for clusters")],
)
def test_gpus_are_given_out_by_the_sweep(tmp_path, options, device, message):
    with pytest.raises(UsageError, match=message):
        choose(MachineOptions(**options), device, tmp_path)


def test_every_gpu_has_a_run_before_one_has_two(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    found, share = choose(MachineOptions(jobs=3), "auto", tmp_path)
    taken = [found._places[found._slots.take(str(number))] for number in range(found.capacity)]
    assert taken == 3 * [0, 1, 2, 3] and share == 1 / 3
