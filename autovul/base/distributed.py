"""Several processes that train one model together, started by torchrun: each computes a part of every batch.

Gradients are added up by hand after the backward pass. `DistributedDataParallel` would do so while it runs, but it has
to wrap the model, allows one forward pass a step, which adversarial training exceeds, and takes the processes' parts as
equally large, which those of the last batch are not.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autovul.base.errors import UsageError, UserError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR")


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Args:
        rank: This one's number, from 0. Number 0 validates, writes and speaks for all.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's part of ``count`` rows: together the processes have each row once, in order."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_up(self, parameters: Sequence[nn.Parameter], *numbers: Tensor) -> list[Tensor]:
        """Replace every gradient by its sum over the processes, in one exchange; the sums of the numbers are given.

        A parameter without a gradient has none in any process, as the same network runs in all of them.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), *(n.float().view(1) for n in numbers)])
        distributed.all_reduce(flat)
        *sums, rest = flat.split([*(gradient.numel() for gradient in gradients), len(numbers)])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))
        return [*rest.unbind()]

    def any(self, *flags: bool, device: torch.device) -> list[bool]:
        """For each flag, whether some process raised it; all processes hear the same."""
        if self.size == 1:
            return [*flags]
        raised = torch.tensor(flags, dtype=torch.int32, device=device)
        distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank; plain values and tensors on the CPU."""
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def share(self, model: nn.Module) -> None:
        """Give all processes the weights and statistics of the first."""
        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, 0)

    def average_statistics(self, model: nn.Module) -> None:
        """Give all processes the mean of their batch norm's statistics, which differ where it is not synchronised."""
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                for statistic in (module.running_mean, module.running_var):
                    assert statistic is not None
                    distributed.all_reduce(statistic)
                    statistic /= self.size


ALONE = Team()


def current() -> Team:
    """The processes that `joined` has brought together; this one alone elsewhere."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return Team(distributed.get_rank(), distributed.get_world_size())


@contextlib.contextmanager
def joined(device: str) -> Iterator[Team]:
    """Meet the other processes if torchrun has started several: over gloo on CPUs, NCCL on GPUs, a GPU for each.

    Args:
        device: As the option ``device`` has it.

    Raises:
        UsageError: There are fewer GPUs than processes on this machine, or the device is one certain GPU.
        UserError: Another process ended before this one.
    """
    if not are_several():
        yield ALONE
        return
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if not on_gpu and device not in ("auto", "cpu"):
        raise UsageError(f"device must be auto, cpu or cuda where several processes train together, got {device!r}")
    if on_gpu:
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if max(local + 1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > there:  # all of a machine refuse, or none
            raise UsageError(f"{there} GPUs for more processes: start at most as many, or give --device cpu")
        torch.cuda.set_device(local)
    # This module, which optimisers import by way of torch._dynamo, keeps the group that there is at its import as a
    # default argument for ever. The group's threads then outlive its end, and can abort the interpreter's own.
    importlib.import_module("torch.distributed.nn")
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield current()
    except RuntimeError as error:
        if isinstance(error, distributed.DistBackendError) or "by peer" in str(error):  # gloo has no type of its own
            raise UserError("another process of this run has ended; what it printed tells why") from None
        raise
    finally:
        if not on_gpu:
            # Gloo's threads need the interpreter to let go of the last exchange's tensors. Older torch (2.6) holds it
            # while it ends the group and waits for them, and with an error right after an exchange did so for ever.
            time.sleep(0.1)
        distributed.destroy_process_group()


def are_several() -> bool:
    """Whether this process was started as one of several."""
    if not all(name in os.environ for name in VARIABLES):
        return False
    if not (size := os.environ["WORLD_SIZE"]).isdecimal():
        raise UsageError(f"WORLD_SIZE, which torchrun sets, must be a number of processes, got {size!r}")
    return int(size) > 1


@contextlib.contextmanager
def synchronised_norms(model: nn.Module, device: torch.device, team: Team) -> Iterator[None]:
    """On GPUs, batch norm takes its statistics over the parts of all processes inside the block.

    The layers that do so share parameters and statistics with those of the model, which return afterwards.
    """
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    if team.size > 1 and device.type == "cuda":
        for parent in [*model.modules()]:
            for name, child in parent.named_children():
                if isinstance(child, _BatchNorm):
                    replaced.append((parent, name, child))
                    setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
    try:
        yield
    finally:
        for parent, name, child in replaced:
            child.train(getattr(parent, name).training)
            setattr(parent, name, child)
