"""The launcher that the options ask for."""

from __future__ import annotations

import os
from pathlib import Path

from autovul.base.errors import UsageError
from autovul.base.sweep.launchers.local import LocalLauncher
from autovul.base.sweep.launchers.ray import RayLauncher
from autovul.base.sweep.launchers.slurm import SlurmLauncher
from autovul.base.sweep.options import MachineOptions
from autovul.base.sweep.task import Launcher


def choose(options: MachineOptions, device: str, folder: Path) -> tuple[Launcher, float]:
    """A launcher, and how many GPUs, or which share of one, each run gets of it.

    Args:
        options: Where runs go.
        device: The device that runs are told to use; on ``cpu`` none gets a GPU.
        folder: Where the sweep keeps what is its own; all machines see it.

    Raises:
        UsageError: The options do not fit together.
        UserError: There is no such cluster, or a package is missing.
    """
    gpus = 0.0 if device == "cpu" else options.gpus
    if ":" in device:
        kind, _, number = device.partition(":")
        raise UsageError(
            f"--device {device}: a sweep gives out the GPUs itself; CUDA_VISIBLE_DEVICES={number} before the command "
            f"and --device {kind} keep it to one"
        )
    if options.launcher == "local":
        if options.gpus is not None:
            raise UsageError("--gpus is for clusters; on this machine --jobs says how many runs share a GPU")
        return _local(options, device)
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise UsageError(f"--gpus: a share of one GPU, or a whole number of them, not {gpus:g}")
    if options.launcher == "slurm":
        if gpus is not None and gpus != int(gpus):
            raise UsageError(f"--gpus: Slurm gives whole GPUs, not {gpus:g}")
        jobs = SlurmLauncher(options, gpus, folder / "slurm")
        return jobs, jobs.gpus
    launcher = RayLauncher(options.address, threads=options.threads, gpus=gpus, jobs=options.jobs)
    return launcher, launcher.gpus


def _local(options: MachineOptions, device: str) -> tuple[Launcher, float]:
    import torch

    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    if gpus:
        jobs = options.jobs or 1
        # The lowest places are taken first: each GPU has a run before one has two.
        return LocalLauncher([gpu for _ in range(jobs) for gpu in range(gpus)]), 1 / jobs
    return LocalLauncher([None] * (options.jobs or max(1, _cores() // options.threads))), 0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
