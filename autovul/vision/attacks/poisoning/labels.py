"""Wrong labels: which training images get them, which they get, and how they are recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.vision.datasets import ImageBatches, ImageDataset
from autovul.vision.datasets.batches import generator_of
from autovul.vision.datasets.splits import seeded_fraction
from autovul.vision.datasets.transfer import send

LABEL_STREAM = 0x6C61626C  # keeps the labels' random numbers apart from those of order and augmentation


def wrong_labels(labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """For each label one of the other classes, all equally likely.

    Args:
        labels: (N,), int64, on any device.
        num_classes: At least 2.
        generator: On the CPU; it moves on by N numbers.
    """
    if num_classes < 2:
        raise ValueError(f"a wrong label needs at least 2 classes, got {num_classes}")
    step = torch.randint(1, num_classes, labels.shape, generator=generator)
    return (labels + send(step, labels.device)) % num_classes


@dataclass(frozen=True)
class LabelPoison:
    """Training images whose labels are wrong.

    Attributes:
        fraction: Of the training set, 0 … 1.
        indices: (k,), into the training split, k = ⌊N · fraction⌋.
        labels: (k,), the wrong labels.
        original: (k,), the true ones.
    """

    fraction: float
    indices: Tensor
    labels: Tensor
    original: Tensor

    @classmethod
    def draw(cls, dataset: ImageDataset, fraction: float, seed: int) -> LabelPoison:
        """The first ⌊N · fraction⌋ images of the seeded order, each with a uniformly drawn wrong label.

        With one seed, what a smaller fraction poisons is a part of what a larger one does, with the same labels.
        """
        labels = dataset.train.labels.cpu()
        indices = seeded_fraction(len(labels), fraction, seed)
        everywhere = wrong_labels(labels, dataset.num_classes, generator_of(seed, LABEL_STREAM))
        return cls(fraction, indices, everywhere[indices], labels[indices])

    def apply(self, dataset: ImageDataset) -> ImageDataset:
        """The data set with these labels in place of the true ones."""
        labels = dataset.train.labels.clone()
        labels[self.indices.to(labels.device)] = self.labels.to(labels.device)
        return replace(dataset, train=replace(dataset.train, labels=labels))

    def save(self, path: Path) -> None:
        """Write fraction, indices, labels and original labels as JSON."""
        record = {
            "fraction": self.fraction,
            "count": len(self.indices),
            "indices": self.indices.tolist(),
            "labels": self.labels.tolist(),
            "original_labels": self.original.tolist(),
        }
        with whole_file(path) as file:
            file.write((json.dumps(record) + "\n").encode())

    def export(self, dataset: ImageDataset, path: Path) -> None:
        """Write the poisoned data set in the ``.npz`` format that every command reads.

        Beside ``x_train``, ``y_train``, ``x_test``, ``y_test``, ``classes`` and ``flip`` it holds
        ``poisoned_indices`` and ``original_labels``, which the reader of data sets leaves aside.
        """
        poisoned = self.apply(dataset)
        arrays: dict[str, np.ndarray] = {"classes": np.array(poisoned.class_names), "flip": np.array(poisoned.flip)}
        for part, split in (("train", poisoned.train), ("test", poisoned.valid)):
            arrays[f"x_{part}"] = split.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
            arrays[f"y_{part}"] = split.labels.cpu().numpy()
        arrays["poisoned_indices"] = self.indices.numpy()
        arrays["original_labels"] = self.original.numpy()
        with whole_file(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


class FreshlyPoisonedBatches:
    """Training batches of which a part gets wrong labels, drawn anew for each batch.

    Of an epoch's first n images ⌊n · fraction⌋ are poisoned, n counted at the end of a batch: the count of an epoch
    is exact, whatever the batch size. In a batch it is the first images, which are random ones.

    Args:
        batches: Shuffled batches.
        num_classes: Of the data set.
        fraction: 0 … 1.
        seed: Of the labels; with epoch and batch it determines them.
    """

    def __init__(self, batches: ImageBatches, num_classes: int, fraction: float, seed: int) -> None:
        self.batches, self.num_classes, self.fraction, self.seed = batches, num_classes, fraction, seed
        self.num_samples = batches.num_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, from batch ``start`` on."""
        size = self.batches.batch_size
        for number, (images, labels) in enumerate(self.batches.epoch(epoch, start), start):
            count = self._until(number * size + len(labels)) - self._until(number * size)
            if count:
                generator = generator_of(self.seed, LABEL_STREAM, epoch, number)
                wrong = wrong_labels(labels[:count], self.num_classes, generator)
                labels = torch.cat([wrong, labels[count:]])
            yield images, labels

    def _until(self, images: int) -> int:
        # The product is meant in decimal, as in seeded_fraction.
        return int(images * self.fraction + 1e-9)
