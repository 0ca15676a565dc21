"""Batches that a training loop consumes, each computed from its number alone, so that a run resumes anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from autovul.vision.datasets.augment import Augmentation
from autovul.vision.datasets.transfer import send

RESIDENT_PART = 0.25


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 images as float32 in [0, 1], of the same shape and in PyTorch's own layout.

    Arrays that hold channels last keep their strides as tensors; a convolution would answer in that layout, and a
    network that flattens with `Tensor.view` fail.
    """
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def generator_of(seed: int, *path: int) -> torch.Generator:
    """A CPU generator for one place of a run, independent of the generators of other places.

    Args:
        seed: The run's, at least 0.
        path: Numbers of the place, such as epoch and batch.
    """
    state = np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class ImageBatches:
    """Batches of pixels in [0, 1] and targets, on the device that computes.

    The content of batch i of epoch e depends on (seed, e, i), the batch size and the data; not on what was drawn
    before, nor on the device: random numbers are drawn on the CPU, a few per image.

    Images stay uint8 and are held once. On a CUDA device they lie in its memory if they need at most a quarter of
    what is free when the batches are made; otherwise they stay in the machine's and each batch travels by itself,
    from pinned memory and without waiting. On any other device they always lie in its memory.

    Args:
        images: uint8, shape (N, C, H, W).
        targets: Shape (N, …): labels, or another's answers.
        batch_size: Images a batch; the last may be smaller.
        device: Where batches are wanted.
        seed: Of order and augmentation; None takes the stored order.
        augment: How images are varied; needs a seed.
        resident: Whether the images lie on ``device``; by the rule above if None.

    Raises:
        ValueError: ``batch_size`` is below 1, images are not uint8 (N, C, H, W), lengths differ, a label is below 0,
            or there is an augmentation and no seed.
    """

    def __init__(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        batch_size: int,
        device: torch.device | str = "cpu",
        *,
        seed: int | None = None,
        augment: Augmentation | None = None,
        resident: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
        if len(images) != len(targets):
            raise ValueError(f"there are {len(images)} images and {len(targets)} targets")
        if targets.dtype == torch.int64 and len(targets) and int(targets.min()) < 0:
            raise ValueError(f"labels must be class indices of at least 0, got {int(targets.min())}")
        if augment is not None and seed is None:
            raise ValueError("augment needs a seed")
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.seed = seed
        self.augment = augment
        self.resident = _fits(images, self.device) if resident is None else resident
        home = self.device if self.resident else torch.device("cpu")
        self.images = images.to(home)
        self.targets = targets.to(home)
        self.num_samples = len(images)

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.num_samples // self.batch_size)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of one epoch, from batch ``start`` on.

        Args:
            epoch: Its number, from 0.
            start: The first batch wanted, from 0.

        Yields:
            Pixels, float32 (n, C, H, W) in [0, 1], and their targets, both on the device.
        """
        order = self._order(epoch)
        for number in range(start, len(self)):
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            images, targets = send(self.images[chosen], self.device), send(self.targets[chosen], self.device)
            if self.augment is not None and self.seed is not None:
                images = self.augment(images, generator_of(self.seed, epoch, number))
            yield to_pixels(images), targets

    def _order(self, epoch: int) -> torch.Tensor:
        if self.seed is None:
            return torch.arange(self.num_samples, device=self.images.device)
        return torch.randperm(self.num_samples, generator=generator_of(self.seed, epoch)).to(self.images.device)


def _fits(images: torch.Tensor, device: torch.device) -> bool:
    if device.type != "cuda" or images.device.type == "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free * RESIDENT_PART
