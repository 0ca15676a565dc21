"""A sweep on two Ray nodes of this machine, one of which is killed in the middle."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from autovul.base.result import read_results

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
SIZE = ["--num-cpus=1", "--object-store-memory=80000000", "--block", "--disable-usage-stats"]
SPEED = "images_per_second"
SWEEP = ["table1", "--scale=smoke", "--models=resnet18_comp,vgg13_bn_comp", "--seeds=1", "--epoch=60", "--no_report"]


def temporary(port: int) -> str:
    """Ray's folder: a short one, as the names of sockets have a limit that pytest's folders pass."""
    return str(Path(tempfile.gettempdir(), f"autovul-ray-{port}"))


@pytest.fixture
def cluster(tmp_path):
    """Two nodes: the address, and the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes: list[subprocess.Popen] = []
    log = open(tmp_path / "ray.log", "w")  # noqa: SIM115

    def node(*arguments):
        command = [RAY, "start", "--node-ip-address=127.0.0.1", *arguments, *SIZE]
        nodes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

    try:
        node("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={temporary(port)}")
        _wait(lambda: _answers(port), "the head")
        node(f"--address=127.0.0.1:{port}")
        yield f"127.0.0.1:{port}", nodes
    finally:
        for each in reversed(nodes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGTERM)
        for each in nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()
        log.close()
        shutil.rmtree(temporary(port), ignore_errors=True)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(condition, what, seconds=600.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def _sweep(folder, log, *launcher):
    command = [sys.executable, "-m", "autovul.reproduce", *SWEEP, *launcher]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    with open(log, "a") as file:
        # Tests that run in the background are told to ignore Ctrl-C, and what they start would inherit that.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(command, cwd=folder, env=surroundings, stdout=file, stderr=file, preexec_fn=heeding)


def _training(folder):
    """The locks of the trainings that run now."""
    return [*(folder / "data/result/.sweep/locks").glob("*.lock")]


def _metrics(folder):
    results, refused = read_results([folder / "data/result"])
    assert not refused
    assert {result.status for result in results} == {"ok"}
    return {
        (each.experiment, each.model): {name: metric.value for name, metric in each.metrics.items() if name != SPEED}
        for each in results
    }


def test_a_node_killed_in_the_middle(cluster, tmp_path):
    address, nodes = cluster
    killed, quiet = tmp_path / "killed", tmp_path / "quiet"
    for folder in (killed, quiet):
        folder.mkdir()
    log = tmp_path / "killed.log"
    sweep = _sweep(killed, log, "--launcher=ray", f"--address={address}")
    _wait(lambda: len(_training(killed)) == 2 or sweep.poll() is not None, "both nodes to train")
    assert sweep.poll() is None, log.read_text()
    os.killpg(nodes[1].pid, signal.SIGKILL)
    assert sweep.wait(900) == 0, log.read_text()
    print(log.read_text())
    assert "lost: " in log.read_text()
    assert _sweep(quiet, log, "--launcher=local").wait(900) == 0, log.read_text()
    assert len(_metrics(killed)) == 2
    assert _metrics(killed) == _metrics(quiet)


def test_stopped_tasks_save_and_leave_no_lock(cluster, tmp_path):
    address, _ = cluster
    log = tmp_path / "stopped.log"
    sweep = _sweep(tmp_path, log, "--launcher=ray", f"--address={address}")
    _wait(lambda: _training(tmp_path) or sweep.poll() is not None, "a training")
    time.sleep(3)
    sweep.send_signal(signal.SIGINT)
    assert sweep.wait(300) == 130, log.read_text()
    assert "the same command goes on from here" in log.read_text()
    _wait(lambda: not _training(tmp_path), "the locks to go", 20)
