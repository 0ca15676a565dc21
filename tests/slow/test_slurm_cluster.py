"""Sweeps on a real Slurm of one node on this machine, which the tests start and stop: Debian's slurm-wlm and munge."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from autovul.base.result import read_results

pytest.importorskip("submitit")
DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = [name for name in DAEMONS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}"),
    pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can start slurmd"),
]

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
SMOKE = ["--scale=smoke", "--seeds=1", "--no_report"]
SPEED = "images_per_second"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm of one node with two CPUs: its configuration file."""
    folder = Path("/tmp") / f"autovul-slurm-{secrets.token_hex(4)}"
    for each in (folder, folder / "spool", folder / "state"):
        each.mkdir(mode=0o755)
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=_free_ports()))
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    places = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid",
              "log-file": folder / "munged.log", "seed-file": folder / "seed"}  # fmt: skip
    flags = [f"--{name}={path}" for name, path in places.items()]
    commands = [
        ["munged", "--force", "--foreground", "--num-threads=2", *flags],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-N", host],
    ]
    surroundings = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    daemons = []
    log = open(folder / "daemons.log", "w")  # noqa: SIM115
    try:
        for command in commands:
            daemons.append(subprocess.Popen(command, env=surroundings, stdout=log, stderr=log))
            time.sleep(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            _wait(lambda: "idle" in _ask("sinfo", "-h", "-o", "%T"), "the node", 60)
            yield folder
            _ask("scancel", "--me")
            _wait(lambda: not _ask("squeue", "-h", "--me"), "the jobs to go", 60)
    finally:
        for each in reversed(daemons):
            each.terminate()
        for each in reversed(daemons):
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(20)
            each.kill()
            each.wait()
        log.close()
        shutil.rmtree(folder)


def _free_ports():
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _ask(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def _wait(condition, what, seconds=600.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.5)
    return found


def _sweep(folder, *arguments, launcher="slurm"):
    command = [sys.executable, "-m", "autovul.reproduce", *arguments, *SMOKE, f"--launcher={launcher}"]
    surroundings = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "HOME": str(folder)}
    with open(folder / "sweep.log", "a") as file:
        # Tests that run in the background are told to ignore Ctrl-C, and what they start would inherit that.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(command, cwd=folder, env=surroundings, stdout=file, stderr=file, preexec_fn=heeding)


def _log(folder):
    return (folder / "sweep.log").read_text()


def _metrics(folder):
    results, refused = read_results([folder / "data/result"])
    assert not refused
    return {
        (each.experiment, each.model, each.status): {
            name: metric.value for name, metric in each.metrics.items() if name != SPEED
        }
        for each in results
    }


def _epochs(folder):
    logs = (folder / "data/log/image/digits").glob("*.jsonl")
    return sum(path.read_text().count('"event": "epoch"') for path in logs)


def test_preempted_training_goes_on_and_ends_as_if_undisturbed(slurm, tmp_path):
    preempted, quiet = tmp_path / "preempted", tmp_path / "quiet"
    preempted.mkdir()
    quiet.mkdir()
    words = ["table1", "--models=resnet18_comp", "--width=0.0625", "--epoch=6", "--validate_interval=1"]
    sweep = _sweep(preempted, *words)
    _wait(lambda: (preempted / "data/log/image/digits").exists() and _epochs(preempted) > 1, "some epochs")
    urgent = ["sbatch", "-p", "urgent", "-n", "2", "--wrap", "sleep 10", "-o", str(tmp_path / "urgent.log")]
    subprocess.run(urgent, check=True, capture_output=True)
    _wait(lambda: "PENDING" in _ask("squeue", "-h", "-p", "main", "-o", "%T"), "preemption")
    assert sweep.wait(900) == 0, _log(preempted)
    print(_log(preempted))
    jobs = preempted / "data/result/.sweep/slurm/jobs"
    first = next(jobs.glob("*_0_log.err")).read_text() + next(jobs.glob("*_0_log.out")).read_text()
    assert first.count("Loading pickle") == 2, first  # the same job, twice
    assert ": failed" not in _log(preempted)
    assert _sweep(quiet, *words, launcher="local").wait(900) == 0, _log(quiet)
    assert len(_metrics(preempted)) == 1
    assert _metrics(preempted) == _metrics(quiet)


def test_what_waits_for_a_failure_ends_with_one_line(slurm, tmp_path):
    (tmp_path / "broken.py").write_text("def build(**options):\n    raise ValueError('no such layer')\n")
    sweep = _sweep(tmp_path, "table1", "fig2", "fig7", "--models=broken:build", "--retries=0")
    assert sweep.wait(900) == 1, _log(tmp_path)
    print(_log(tmp_path))
    lines = _log(tmp_path).splitlines()
    for experiment in ("fig2", "fig7"):
        name = f"{experiment} broken.build s1228"
        assert [line for line in lines if line.startswith(name)] == [
            f"{name}: skipped: table1 broken.build s1228 failed"
        ]
    assert len([line for line in lines if line.startswith("table1 broken.build s1228: failed")]) == 1
    assert "no such layer" in _log(tmp_path)
    assert not _ask("squeue", "-h", "--me").strip()


def test_somebody_logs_out_and_comes_back(slurm, tmp_path):
    words = ["table1", "fig2", "--models=darts", "--epoch=2"]
    sweep = _sweep(tmp_path, *words)
    _wait(lambda: "Dependency" in _ask("squeue", "-h", "--me", "-o", "%r"), "both jobs")
    sweep.send_signal(signal.SIGHUP)
    assert sweep.wait(30) == -signal.SIGHUP
    submitted = [*(tmp_path / "data/result/.sweep/slurm/jobs").glob("*_submission.sh")]
    assert len(submitted) == 2
    assert _sweep(tmp_path, *words).wait(900) == 0, _log(tmp_path)
    print(_log(tmp_path))
    assert [*(tmp_path / "data/result/.sweep/slurm/jobs").glob("*_submission.sh")] == submitted
    assert {(kind, status) for kind, _, status in _metrics(tmp_path)} == {("train", "ok"), ("adv_attack", "ok")}


def test_an_interrupted_sweep_takes_its_jobs_with_it(slurm, tmp_path):
    sweep = _sweep(tmp_path, "table1", "--models=resnet18_comp,darts", "--epoch=30")
    _wait(lambda: _ask("squeue", "-h", "--me", "-t", "RUNNING").count("\n") == 2, "two jobs")
    time.sleep(5)
    sweep.send_signal(signal.SIGINT)
    assert sweep.wait(120) == 130, _log(tmp_path)
    assert not _ask("squeue", "-h", "--me").strip()
    assert "the same command goes on from here" in _log(tmp_path)
