"""A data set in memory: two splits of uint8 images and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from autovul.base.options import OptionError
from autovul.vision.datasets.augment import Augmentation
from autovul.vision.datasets.batches import ImageBatches, to_pixels
from autovul.vision.datasets.facts import measured, numbered
from autovul.vision.datasets.options import TrainingDataOptions
from autovul.vision.datasets.splits import SPLIT_SEED, seeded_fraction, subset_classes

Indices = torch.Tensor | Sequence[int] | slice


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images and labels of one split.

    Args:
        images: uint8, shape (N, C, H, W), on the CPU; batches are moved to where they are used.
        labels: int64, shape (N,), on the CPU.

    Raises:
        ValueError: A type, shape or device differs.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        for name, tensor in (("images", self.images), ("labels", self.labels)):
            if tensor.device.type != "cpu":
                raise ValueError(f"{name} must be on the CPU (batches are moved from there), got {tensor.device}")
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), got {self.images.dtype} {tuple(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 ({len(self.images)},), got {self.labels.dtype} {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.images.shape[1:]))
        return f"ImageSplit({len(self)} images of {shape})"

    def subset(self, indices: Indices) -> ImageSplit:
        """The images at ``indices``, in their order."""
        return ImageSplit(self.images[indices], self.labels[indices])

    def pixels(self, indices: Indices = slice(None)) -> torch.Tensor:
        """The images at ``indices`` (all by default) as float32 in [0, 1], shape (n, C, H, W)."""
        return to_pixels(self.images[indices])


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Training and validation images of one data set.

    Args:
        name: Its name on the command line.
        class_names: One name a class.
        train: What models learn from.
        valid: The official test split, which nothing learns from.
        mean: Per channel, of pixels in [0, 1]; for the models' normalisation.
        std: Likewise.
        flip: Whether a mirrored image still shows its class.

    Raises:
        ValueError: The splits' shapes differ, a label has no class name, or mean and std are not those of pixels.
    """

    name: str
    class_names: list[str]
    train: ImageSplit
    valid: ImageSplit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.valid.images.shape[1:]:
            shapes = [tuple(split.images.shape[1:]) for split in (self.train, self.valid)]
            raise ValueError(f"{self.name}: training images are {shapes[0]}, validation images {shapes[1]}")
        channels = self.data_shape[0]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels or not all(0 <= value <= 1 for value in values) or 0 in self.std:
                raise ValueError(
                    f"{self.name}: {name} must be {channels} numbers from 0 to 1, of pixels from 0 to 1 (std above 0); "
                    f"got {values}"
                )
        for split in (self.train, self.valid):
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.num_classes:
                raise ValueError(f"{self.name}: labels must be in 0 … {self.num_classes - 1}")

    @classmethod
    def of(
        cls,
        name: str,
        train: ImageSplit,
        valid: ImageSplit,
        class_names: Sequence[str] | None = None,
        *,
        flip: bool = True,
    ) -> ImageDataset:
        """A data set of one's own splits, with the mean and standard deviation of its training images.

        Args:
            name: What records and folders call it.
            train, valid: The splits.
            class_names: One name a class; none: the numbers 0 … up to the largest label.
            flip: Whether a mirrored image still shows its class.

        Raises:
            ValueError: As for the class; or there are no training images.
            DamagedData: A channel of the training images is the same everywhere.
        """
        if not len(train):
            raise ValueError(f"{name}: there are no training images")
        names = numbered(int(train.labels.max()) + 1) if class_names is None else [*class_names]
        return cls(name, names, train, valid, *measured(train.images, name), flip)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def data_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over type, shape and bytes of both splits' images and labels, in hexadecimal."""
        digest = hashlib.sha256()
        for split in (self.train, self.valid):
            for tensor in (split.images, split.labels):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
                digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def first_classes(self, count: int) -> ImageDataset:
        """The data set of the first ``count`` classes alone.

        Raises:
            OptionError: There are not so many, or no validation image is of these.
        """
        if count == self.num_classes:
            return self
        if count > self.num_classes:
            raise OptionError(f"num_classes must be at most {self.num_classes} for {self.name}, got {count}")
        train, valid = (split.subset(subset_classes(split.labels, range(count))) for split in (self.train, self.valid))
        if not len(valid):
            raise OptionError(f"num_classes {count}: {self.name} has no validation image of the first {count} classes")
        return replace(self, class_names=self.class_names[:count], train=train, valid=valid)

    def attack_split(self, seed: int = SPLIT_SEED, fraction: float = 0.3) -> ImageSplit:
        """What attacks take their images from: the first ⌊N · ``fraction``⌋ of the shuffled validation split."""
        return self.valid.subset(seeded_fraction(len(self.valid), fraction, seed))

    def augmentation(self, options: TrainingDataOptions) -> Augmentation:
        """How these images are varied in training."""
        length = options.cutout_length or self.data_shape[1] // 2
        return Augmentation(
            flip=self.flip, auto_augment=options.auto_augment, cutout_length=length if options.cutout else None
        )

    def train_batches(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        seed: int = SPLIT_SEED,
        augment: Augmentation | None = None,
    ) -> ImageBatches:
        """Shuffled training batches on ``device``; `ImageBatches` says what their content depends on."""
        return ImageBatches(self.train.images, self.train.labels, batch_size, device, seed=seed, augment=augment)

    def valid_batches(self, batch_size: int, device: torch.device | str = "cpu") -> ImageBatches:
        """Validation batches on ``device``, in stored order and as they are."""
        return ImageBatches(self.valid.images, self.valid.labels, batch_size, device)
