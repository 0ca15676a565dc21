"""Training batches with triggered images in them, in the three ways of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from autovul.vision.datasets import Augmentation, ImageBatches, ImageDataset, to_pixels
from autovul.vision.datasets.batches import generator_of
from autovul.vision.datasets.splits import seeded_fraction
from autovul.vision.marks import Trigger

CHANCE_STREAM, PLACE_STREAM = 0x6368616E, 0x706C6163  # keep their random numbers apart from order and augmentation

TrainMode = Literal["batch", "dataset", "loss"]


class PoisonedBatches:
    """Clean images and, behind them, triggered ones under the target class.

    - ``batch``: triggered copies of the batch's first ⌊n · p⌋ images, and with the fractional part as a chance of one
      more. Images are augmented before they are marked.
    - ``dataset``: ⌊N · p⌋ triggered copies of training images join the training set. The copies are fixed: the same in
      every epoch, not augmented, each with its mark in one place.
    - ``loss``: a triggered copy of every image of the batch; their weight is the loss's affair.

    What batch i of epoch e holds depends on (seed, e, i) and the trigger, which may be exchanged between epochs.

    Args:
        dataset: Its training split is used.
        trigger: On the device of the batches.
        target: The class that triggered images are labelled as.
        fraction: p, 0 … 1.
        mode: See above.
        batch_size: Clean images a batch (``dataset``: clean and triggered ones).
        device: Where batches are wanted.
        seed: Of order, augmentation, choice of images, chance and random places.
        augment: How clean images are varied.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        trigger: Trigger,
        target: int,
        fraction: float,
        mode: TrainMode,
        batch_size: int,
        device: torch.device,
        seed: int,
        augment: Augmentation | None,
    ) -> None:
        self.trigger, self.target, self.fraction, self.mode, self.seed = trigger, target, fraction, mode, seed
        self.before_epoch: Callable[[int], None] | None = None
        train = dataset.train
        self.clean_count = len(train)
        copied = seeded_fraction(len(train), fraction, seed) if mode == "dataset" else torch.arange(0)
        self.copies = train.images[copied]
        self.copy_places = trigger.draw_places(len(copied), generator_of(seed, PLACE_STREAM))
        # In place of labels each image carries its number, so that copies are told from originals.
        self.labels = train.labels.to(device)
        numbers = torch.arange(len(train) + len(copied))
        images = torch.cat([train.images, self.copies]) if len(copied) else train.images
        self.batches = ImageBatches(images, numbers, batch_size, device, seed=seed, augment=augment)
        self.copies = self.copies.to(device)
        self.num_samples = self.batches.num_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, tuple[Tensor, int]]]:
        """The batches of one epoch, from batch ``start`` on.

        Yields:
            Pixels (n + m, C, H, W) in [0, 1]; and a pair: labels (n + m,), and n, the number of clean images, which
            come first.
        """
        if self.before_epoch is not None and start == 0:
            self.before_epoch(epoch)
        for number, (images, numbers) in enumerate(self.batches.epoch(epoch, start), start):
            clean, labels, marked = self._parts(images, numbers, epoch, number)
            targets = labels.new_full((len(marked),), self.target)
            yield torch.cat([clean, marked]), (torch.cat([labels, targets]), len(clean))

    def _parts(self, images: Tensor, numbers: Tensor, epoch: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Clean images, their labels, and marked images."""
        if self.mode == "dataset":
            original = numbers < self.clean_count
            copies = numbers[~original] - self.clean_count
            places = self.copy_places[copies.to(self.copy_places.device)]
            marked = self.trigger.apply(to_pixels(self.copies[copies]), places=places)
            return images[original], self.labels[numbers[original]], marked
        generator = generator_of(self.seed, CHANCE_STREAM, epoch, batch)
        count = len(images) if self.mode == "loss" else self._count(len(images), generator)
        return images, self.labels[numbers], self.trigger.apply(images[:count], generator=generator)

    def _count(self, images: int, generator: torch.Generator) -> int:
        wanted = images * self.fraction
        whole = int(wanted + 1e-9)
        chance = torch.rand((), generator=generator, dtype=torch.float64).item()
        return whole + (chance < wanted - whole)
