"""Where a run takes place: seed, device, determinism, and what it cost."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import autovul
from autovul.base import distributed
from autovul.base.errors import UsageError
from autovul.base.options import Options, option


class EnvironmentOptions(Options):
    """What holds for a whole run."""

    seed: int = option(1228, "Seed of every random choice.", ge=0, le=2**32 - 1)
    device: str = option("auto", "Where to compute: auto (CUDA if there is one, else CPU), cpu, cuda, cuda:1, mps.")
    benchmark: bool = option(False, "Let cuDNN time its algorithms first: faster, and not repeatable to the last bit.")
    deterministic: bool = option(False, "Use deterministic algorithms only: repeatable bits on a GPU, slower.")
    verbose: int = option(
        0, "How much to say at the end: 0 the figures, 1 also options, hashes and versions.", ge=0, le=1
    )
    color: bool = option(False, "Use colour in the summary.")
    tqdm: bool = option(True, "Show a progress bar on a terminal, plain lines elsewhere; --no-tqdm: neither.")
    result_dir: str = option("./data/result", "Where result files go.")

    def apply(self) -> torch.device:
        """Seed Python, NumPy and torch, set the determinism flags and return the device.

        Raises:
            UsageError: There is no such device, or torchrun has started several processes and none has met the others.
        """
        if distributed.are_several() and distributed.current().size == 1:
            raise UsageError("only train runs in several processes: start this command without torchrun")
        device = choose_device(self.device)
        seed_everything(self.seed)
        torch.backends.cudnn.benchmark = self.benchmark
        # PyTorch lets convolutions round to TF32's ten bits by default, and a record would still say fp32.
        torch.backends.cudnn.allow_tf32 = False
        if self.deterministic:
            # cuBLAS reads this when it starts, and refuses deterministic mode without it.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(self.deterministic)
        return device


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def choose_device(name: str) -> torch.device:
    """The torch device of this name; ``auto`` is CUDA if there is one, else the CPU.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        # Of several GPUs the current one: where several processes train together, each has its own.
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device must be auto or one that is here, got {name!r} ({reason})") from None
    if device.type == "meta":
        raise UsageError("device must be auto or one that computes, got 'meta'")
    return device


@dataclass
class Cost:
    """What a block of code took: wall-clock seconds, and the peak memory of device or process in bytes."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int | None = None


@contextmanager
def measure(device: torch.device, phase: str = "total") -> Iterator[Cost]:
    """Measure a block; the record is filled when the block ends."""
    cost = Cost()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    yield cost
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    cost.seconds[phase] = round(time.perf_counter() - start, 3)
    cost.peak_memory = peak_memory(device)


def peak_memory(device: torch.device) -> int | None:
    """The most memory so far, in bytes: allocated on a CUDA device, elsewhere held by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module; the figure is then left out
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe(device: torch.device) -> dict[str, Any]:
    """Code version, library versions, device and the time, for a result record."""
    names = ("torch", "torchvision", "numpy", "pydantic", "scikit-learn", "adversarial-robustness-toolbox")
    return {
        "code_version": code_version(),
        "python": platform.python_version(),
        "libraries": {name: version for name in names if (version := _library_version(name))},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _library_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@cache
def code_version() -> str:
    """The package's version with a digest of its source: it tells changed code apart without any repository."""
    root = Path(autovul.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{autovul.__version__}+{digest.hexdigest()[:8]}"
