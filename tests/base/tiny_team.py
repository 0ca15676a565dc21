"""A program that several processes run together: trains, is stopped by one of them, and goes on."""

from __future__ import annotations

import signal
import sys
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autovul.base import distributed
from autovul.base.checkpoint import save_state
from autovul.base.errors import Interrupted, UserError
from autovul.base.training import state_file
from tests.base.tiny_training import CLASSES, OPTIONS, Doubtful, Points, quiet_trainer, tiny_net


def plain_net() -> nn.Sequential:
    """Without batch statistics and without dropout: the parts of a batch do not matter."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, CLASSES))


class Meeting(nn.Module):
    """Its processes meet in every pass of the training, as those of synchronised batch norm do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            rows = torch.ones(4)
            torch.distributed.all_reduce(rows)
            assert rows.eq(torch.distributed.get_world_size()).all(), "another process is elsewhere"
        return x


def main() -> None:
    """Weights go to the folder that is named."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    state_file.LARGEST_SHARE = float("inf")
    with distributed.joined("cpu") as team:

        def trained(name: str, model: nn.Module, points: Points, **arguments: Any) -> None:
            quiet_trainer(**arguments).fit(model, points, Points(seed=5))
            if team.leads:
                save_state(folder / f"{name}.pth", model.state_dict())

        trained("plain", plain_net(), Points(count=9))  # the last batch has a single row, and one process none
        trained("whole", tiny_net(), Points(count=12))
        # Of a batch of three rows one process has one and the other two.
        parts = OPTIONS.model_copy(update={"microbatch": 1})
        trained("parts", plain_net().append(Meeting()), Points(count=9, batch_size=3), options=parts)

        history = quiet_trainer().fit(Doubtful(steps=3), Points(count=12), Points(seed=5))
        assert history.status == "diverged", "only the first process validates; all have to know"

        def stop(epoch: int, batch: int) -> None:
            if team.rank == 1 and (epoch, batch) == (2, 2):
                signal.raise_signal(signal.SIGTERM)

        options = OPTIONS.model_copy(update={"resume": True})
        try:
            trained(
                "resumed", tiny_net(), Points(count=12, visit=stop), options=options, state_path=folder / "net.state"
            )
        except Interrupted as stopped:
            assert "epoch 3" in str(stopped)
        else:
            raise AssertionError("nothing stopped it")
        trained("resumed", tiny_net(), Points(count=12), options=options, state_path=folder / "net.state")

        larger = options.model_copy(update={"resume_changed": True})
        visited: list[int] = []
        points = Points(count=9, visit=lambda epoch, batch: visited.append(epoch))
        trained("larger", plain_net(), points, options=larger, state_path=folder / "alone.state")
        assert min(visited) == 2, "it began anew"


def fail_alone() -> None:
    """The second process has an error of its own; each prints what it ends with.

    Nothing may hold the group afterwards: its threads would outlive it, and abort some of the processes at their end.
    """
    try:
        with distributed.joined("cpu") as team:
            group = weakref.ref(torch.distributed.group.WORLD)

            def fail(epoch: int, batch: int) -> None:
                if team.rank == 1:
                    raise UserError("of the second alone")

            quiet_trainer().fit(tiny_net(), Points(count=12, visit=fail))
    except UserError as error:
        print(error, flush=True)
    assert group() is None, "something keeps the group of processes"


if __name__ == "__main__":
    fail_alone() if sys.argv[1] == "fail" else main()
