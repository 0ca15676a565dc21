"""What the tests on a CUDA device share: small networks and data, and assertions that only such a device can fail."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autovul.base.progress import Progress
from autovul.base.trainer import Batches, Trainer, TrainingOptions
from autovul.vision import models
from autovul.vision.datasets import ImageDataset, ImageSplit
from tests.vision.attacks import patches

VARIABLE = "AUTOVUL_CUDA_TESTS_ON"
ON = os.environ.get(VARIABLE, "cuda")  # cpu: the tests' own code is tried there
CPU = torch.device("cpu")
IMAGE = 1 << 28  # bytes of `Hungry`'s maps of an image


def small(name: str, **options: Any) -> nn.Module:
    """A narrow network of the registry without dropout, whose weights are the same each time."""
    given: dict[str, Any] = {"width": 0.0625} if name.endswith("_comp") else {"layers": 3, "init_channels": 4}
    if not name.endswith("_comp") or name.startswith("vgg"):
        given["dropout"] = 0.0
    torch.manual_seed(3)
    return models.create(name, num_classes=patches.CLASSES, **{**given, **options})


def there(model: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy on the device."""
    return copy.deepcopy(model).to(device, dtype)


@functools.cache
def large_patches(train: int = 120, valid: int = 90) -> ImageDataset:
    """`patches`, four times as wide and high, as the registry's networks want them."""
    made = patches.make_dataset(train, valid)

    def grown(split: ImageSplit) -> ImageSplit:
        return ImageSplit(split.images.repeat_interleave(4, 2).repeat_interleave(4, 3), split.labels)

    return replace(made, train=grown(made.train), valid=grown(made.valid))


def quiet(options: TrainingOptions, device: torch.device, **arguments: Any) -> Trainer:
    return Trainer(options, device=device, seed=1, **{"progress": Progress("off"), **arguments})


def needs(precision: str, device: torch.device) -> None:
    """Skip where the device has no such arithmetic."""
    if precision == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        pytest.skip(f"{torch.cuda.get_device_name(device)} has no bf16")


def relative(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖, in float64 on the CPU."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-300))


def weights_of(model: nn.Module) -> Tensor:
    """All parameters in one vector, on the CPU."""
    return torch.cat([p.detach().cpu().double().flatten() for p in model.parameters()])


def assert_same_bits(found: nn.Module, expected: nn.Module) -> None:
    for (name, one), other in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(one.cpu(), other.cpu()), name


def forbid_waits(device: torch.device, forbidden: bool = True) -> None:
    """From now on an operator that makes the host wait for the device is an error; a CPU has none."""
    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is a prototype, says torch: it does not see every wait
            torch.cuda.set_sync_debug_mode("error" if forbidden else "default")


class Watched:
    """Batches during whose epoch nothing may wait: from the second one on, until all have come.

    What is made once is made in the first step, and losses are read at the end of an epoch. Neither is meant.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches, self.device, self.num_samples, self.seen = batches, device, batches.num_samples, 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Any]]:
        try:
            for number, batch in enumerate(self.batches.epoch(epoch, start)):
                yield batch
                self.seen += 1
                if number == 0:
                    forbid_waits(self.device)
        finally:
            forbid_waits(self.device, False)


class Stopping:
    """Batches on whose way, once, the process is asked to stop."""

    def __init__(self, batches: Batches, epoch: int, batch: int) -> None:
        self.batches, self.at, self.num_samples = batches, (epoch, batch), batches.num_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Any]]:
        for number, batch in enumerate(self.batches.epoch(epoch, start), start):
            if (epoch, number) == self.at:
                signal.raise_signal(signal.SIGTERM)
            yield batch


class Hungry(nn.Module):
    """A network to which some images at once are too many where memory is `scarce`.

    On a CUDA device its maps, 256 MiB an image, are; on a CPU it says that they are.
    """

    limit: int | None = None  # images, on a CPU

    def __init__(self, channels: int = 3, side: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Tanh())
        self.flatten, self.classifier = nn.Flatten(), nn.Linear(4 * side**2, patches.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            torch.empty(len(x), IMAGE // 4, device=x.device)
        elif self.limit is not None and len(x) > self.limit:
            raise torch.OutOfMemoryError("out of memory, as a CUDA device would say")
        return self.classifier(self.flatten(self.features(x)))


@contextlib.contextmanager
def scarce(device: torch.device, images: int) -> Iterator[None]:
    """Memory for a pass of at most so many images through `Hungry` at once."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(device).total_memory
        # Half an image's is left for all else.
        most = torch.cuda.memory_reserved(device) + images * IMAGE + IMAGE // 2
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / whole), device)
    Hungry.limit = images
    try:
        yield
    finally:
        Hungry.limit = None
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, device)
            torch.cuda.empty_cache()
