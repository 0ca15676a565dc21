"""Data sets: uint8 images in memory, read by name.

`create` reads one, `list` names the registered ones; ``register`` adds a builder ``(options, seed) -> ImageDataset``.
"""

from __future__ import annotations

import builtins

from autovul.vision.datasets import cifar, digits, folder, imagenet32
from autovul.vision.datasets.augment import Augmentation
from autovul.vision.datasets.batches import ImageBatches, to_pixels
from autovul.vision.datasets.catalogue import DATASETS, create, from_options
from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.errors import DamagedData, MissingData
from autovul.vision.datasets.options import (
    AttackedDataOptions,
    DataOptions,
    MirroredDataOptions,
    TrainingDataOptions,
    ValidatedDataOptions,
)

__all__ = [
    "AttackedDataOptions",
    "Augmentation",
    "DamagedData",
    "DataOptions",
    "ImageBatches",
    "ImageDataset",
    "ImageSplit",
    "MirroredDataOptions",
    "MissingData",
    "TrainingDataOptions",
    "ValidatedDataOptions",
    "create",
    "from_options",
    "list",
    "register",
    "to_pixels",
]

register = DATASETS.register
register("digits")(digits.build)
register("cifar10")(cifar.build_cifar10)
register("cifar100")(cifar.build_cifar100)
register("imagenet32")(imagenet32.build)
register("folder")(folder.build)


def list() -> builtins.list[str]:
    """The registered names."""
    return DATASETS.list()
