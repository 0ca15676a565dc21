"""Several processes on one GPU, and several that train together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from autovul.base.checkpoint import load_state
from autovul.base.result import Result
from tests.cuda.small import relative

pytestmark = pytest.mark.cuda
ROOT = Path(__file__).parents[2]
NETWORK = ("-d=digits", "-m=resnet18_comp", "--width=0.0625", "--no-tqdm")
TRAIN = (*NETWORK, "--lr=1e-4")  # so small that rounding stays what it is
# Without batch norm, and dropout, the parts of a batch do not matter.
PARTED = (*TRAIN, "--norm_layer=gn")


def start(*words: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=environment, **streams)


def run(*words: str, folder: Path) -> tuple[int, str]:
    process = start(*words, folder=folder)
    output, _ = process.communicate(timeout=1200)
    return process.returncode, output


def torchrun(processes: int, *words: str, folder: Path) -> tuple[int, str]:
    launcher = ("torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m", "autovul.train")
    return run(*launcher, *words, folder=folder)


def trained(*words: str, folder: Path, processes: int = 0, epochs: int = 1) -> torch.Tensor:
    """The weights after a training, in one vector; by torchrun if so many processes are asked for."""
    runner = run if not processes else torchrun
    status, output = runner(
        *([processes] if processes else ["autovul.train"]), *words, f"--epoch={epochs}", folder=folder
    )
    assert status == 0, output
    return weights(folder)


def weights(folder: Path) -> torch.Tensor:
    (path,) = folder.glob("data/model/image/digits/resnet18_comp.pth")
    return torch.cat([tensor.double().flatten() for tensor in load_state(path).values()])


def test_torchrun_with_one_process_is_a_plain_run(device, tmp_path):
    words = (*TRAIN, "--deterministic", f"--device={device}")
    plain = trained(*words, folder=tmp_path / "plain")
    assert torch.equal(trained(*words, folder=tmp_path / "one", processes=1), plain)


def test_two_trainings_at_once_on_one_gpu_are_two_trainings(device, tmp_path):
    words = ("autovul.train", *TRAIN, "--epoch=1", "--deterministic", f"--device={device}")
    both = [start(*words, folder=tmp_path / name) for name in ("first", "second")]
    for process in both:
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output
    assert torch.equal(weights(tmp_path / "first"), weights(tmp_path / "second"))


def test_more_processes_than_gpus_are_refused(device, tmp_path):
    there = torch.cuda.device_count()
    status, output = torchrun(there + 1 if there else 2, *TRAIN, "--device=cuda", folder=tmp_path)
    assert status != 0
    assert f"{there} GPUs for more processes: start at most as many, or give --device cpu" in output


def test_two_gpus_are_one(device, tmp_path):
    """Over NCCL; on CPUs over gloo. Halves of a batch in one process are the same sums."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    words = (*PARTED, f"--device={device.type}")
    before = trained(*words, folder=tmp_path / "untrained", epochs=0)
    expected = trained(*words, "--microbatch=48", folder=tmp_path / "one")
    found = trained(*words, folder=tmp_path / "two", processes=2)
    assert relative(found - before, expected - before) < 0.02
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "two").glob("data/result/train/*.json"))
    assert record["environment"]["processes"] == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_gpus_share_batch_norm(device, tmp_path, precision):
    """Synchronised, its statistics are those of the whole batch."""
    if device.type == "cpu" or torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs: on CPUs batch norm is not synchronised")
    words = (*TRAIN, "--device=cuda", f"--precision={precision}")
    before = trained(*words, folder=tmp_path / "untrained", epochs=0)
    expected = trained(*words, folder=tmp_path / "one")
    found = trained(*words, folder=tmp_path / "two", processes=2)
    assert relative(found - before, expected - before) < (0.1 if precision == "fp32" else 1.0)


def records(folder: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(folder.glob("data/result/[!.]*/*.json")):  # .sweep is the sweep's own
        record = Result.from_json(path.read_text())
        assert record.status == "ok", path
        timeless = {name: metric for name, metric in record.metrics.items() if "second" not in name}
        found[f"{path.parent.name}/{path.name}"] = (record.weights_sha256, timeless)
    return found


def test_a_sweep_with_three_runs_on_a_gpu_is_one_with_one(device, tmp_path):
    sweep = ("autovul", "reproduce", "table1", "fig2", "fig12", "--scale=smoke", "--models=resnet18_comp,darts")
    options = ("--seeds=1", "--deterministic", f"--device={device.type}", "--no_report")
    for jobs in (1, 3):
        status, output = run(*sweep, *options, f"--jobs={jobs}", folder=tmp_path / str(jobs))
        assert status == 0, output
    one, three = records(tmp_path / "1"), records(tmp_path / "3")
    assert len(one) >= 6 and one == three
