"""A batch in parts: of one process, or of several that train together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autovul.base import distributed
from autovul.base.checkpoint import load_state
from autovul.base.distributed import ALONE, Team
from autovul.base.errors import Interrupted, UsageError, UserError
from autovul.base.training.parts import parts_of
from tests.base.tiny_team import plain_net
from tests.base.tiny_training import OPTIONS, Points, quiet_trainer, tiny_net

ROOT = Path(__file__).parents[2]


def with_changes(**changes: Any) -> Any:
    return type(OPTIONS)(**{**OPTIONS.model_dump(), **changes})


def assert_close(left: nn.Module, right: dict[str, Tensor]) -> None:
    for name, weight in left.state_dict().items():
        torch.testing.assert_close(weight, right[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("team_size", [1, 2, 3, 5])
@pytest.mark.parametrize("microbatch", [None, 1, 3, 100])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_parts_have_every_row_once_and_shares_that_add_up(team_size: int, microbatch: int | None, count: int) -> None:
    x, y = torch.arange(count), torch.arange(count) + 100
    rows, total, numbers = [], 0.0, set()
    for rank in range(team_size):
        parts = [*parts_of(x, y, Team(rank, team_size), microbatch)]
        numbers.add(len(parts))
        for part, labels, share in parts:
            assert torch.equal(part + 100, labels) and len(part) <= (microbatch or count)
            assert share == pytest.approx(len(part) / count if share else 0)
            rows += part.tolist() if share else []
            total += share
    assert rows == x.tolist() and total == pytest.approx(1)
    assert len(numbers) == 1 and numbers != {0}, "every process takes part in every step, and in every part of it"


def test_a_part_is_about_as_large_as_the_others() -> None:
    """80 rows in three processes: none has a last part of a single row, over which batch norm would take statistics."""
    sizes = [[len(part) for part, _, _ in parts_of(*2 * [torch.arange(80)], Team(r, 3), 26)] for r in range(3)]
    assert sizes == [[13, 13], [13, 14], [13, 14]]


@pytest.mark.parametrize("size", [1, 3])
def test_microbatches_train_as_the_whole_batch(size: int) -> None:
    whole, parts = plain_net(), plain_net()
    first = quiet_trainer().fit(whole, Points(), Points(seed=5))
    second = quiet_trainer(with_changes(microbatch=size)).fit(parts, Points(), Points(seed=5))
    assert_close(parts, whole.state_dict())
    for mine, other in zip(second.records[1:], first.records[1:], strict=True):
        assert mine.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert mine.train_accuracy == other.train_accuracy


def test_batch_norm_sees_the_parts() -> None:
    whole, parts = tiny_net(), tiny_net()
    quiet_trainer().fit(whole, Points())
    quiet_trainer(with_changes(microbatch=2)).fit(parts, Points(count=12))
    counts = [net.features[1].num_batches_tracked.item() for net in (whole, parts)]
    assert counts == [15, 30]


def test_losses_of_a_whole_batch_are_refused() -> None:
    class Step:
        whole_batch = True

    with pytest.raises(UserError, match="leave out microbatch"):
        quiet_trainer(with_changes(microbatch=2), step=Step()).fit(tiny_net(), Points())
    with pytest.raises(UserError, match="leave out microbatch"):
        next(parts_of(torch.zeros(4, 2), (torch.zeros(4), 3), ALONE, 2))


def test_a_command_other_than_train_is_refused_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    from autovul.base.environ import EnvironmentOptions

    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="only train runs in several processes"):
        EnvironmentOptions().apply()
    with pytest.raises(UsageError, match="device must be auto, cpu or cuda"), distributed.joined("cuda:1"):
        pass


def start(command: list[str], size: int, folder: Path) -> list[subprocess.Popen[str]]:
    """What torchrun does, without its own start-up time."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(size), "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]


def finish(processes: list[subprocess.Popen[str]], seconds: float) -> list[str]:
    try:
        outputs = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def test_an_error_of_one_process_ends_the_others_in_a_line() -> None:
    outputs = finish(start(["-m", "tests.base.tiny_team", "fail"], 2, ROOT), 300)
    lines = [output.strip().splitlines()[-1] for output in outputs]
    assert lines == ["another process of this run has ended; what it printed tells why", "of the second alone"]


def stop(epoch: int, batch: int) -> None:
    if (epoch, batch) == (2, 1):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
def test_two_processes_train_as_one_and_resume(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        quiet_trainer(state_path=tmp_path / "alone.state").fit(plain_net(), Points(count=9, visit=stop), Points(seed=5))
    finish(start(["-m", "tests.base.tiny_team", str(tmp_path)], 2, ROOT), 900)
    alone = plain_net()
    quiet_trainer().fit(alone, Points(count=9), Points(seed=5))
    assert_close(alone, load_state(tmp_path / "plain.pth"))
    assert_close(alone, load_state(tmp_path / "larger.pth"))  # begun by one process
    by_threes = plain_net()
    quiet_trainer().fit(by_threes, Points(count=9, batch_size=3), Points(seed=5))
    assert_close(by_threes, load_state(tmp_path / "parts.pth"))
    whole, resumed = (load_state(tmp_path / f"{name}.pth") for name in ("whole", "resumed"))
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())
    # Only the first process has written.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("alone.state", "larger.pth", "net.state", "parts.pth", "plain.pth", "resumed.pth", "whole.pth")
    ]


@pytest.mark.slow
def test_the_command_in_two_processes(tmp_path: Path) -> None:
    options = "-d digits -m darts --layers 2 --init_channels 4 --epoch 2 --lr_scheduler --no-tqdm --device cpu"
    outputs = finish(start(["-m", "autovul.train", *options.split()], 2, tmp_path), 900)
    assert "valid_accuracy" in outputs[0] or "valid accuracy" in outputs[0]
    assert len([*tmp_path.rglob("*.json")]) == 1 and len([*tmp_path.rglob("darts.pth")]) == 1
    again = finish(start(["-m", "autovul.train", *options.split(), "--resume"], 2, tmp_path), 900)
    assert "finished already" in again[0] and "finished already" not in again[1]
