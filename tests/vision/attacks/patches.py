"""A data set that a small network learns in a second, for attacks that train."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autovul.base.result import Result
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision.attacks.base import Setup
from autovul.vision.datasets import Augmentation, ImageDataset, ImageSplit

CLASSES, SIDE = 3, 8
PLAIN = Augmentation(padding=0, flip=False)
RECIPE = TrainingOptions(epoch=3, lr=0.05, validate_interval=1)


def make_dataset(train: int = 120, valid: int = 90, seed: int = 0) -> ImageDataset:
    """Noise with a bright quarter: top right, bottom left or bottom right. The top left corner says nothing."""
    generator = torch.Generator().manual_seed(seed)

    def split(count: int) -> ImageSplit:
        labels = torch.arange(count) % CLASSES
        images = torch.randint(0, 120, (count, 3, SIDE, SIDE), generator=generator)
        for index, label in enumerate(labels.tolist()):
            row, column = divmod(label + 1, 2)
            images[index, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 60
        return ImageSplit(images.to(torch.uint8), labels)

    names = ["top right", "bottom left", "bottom right"]
    return ImageDataset("patches", names, split(train), split(valid), (0.3,) * 3, (0.2,) * 3, flip=False)


def make_network(seed: int = 0) -> nn.Sequential:
    """A convolution, a batch norm and a linear layer on 4 × 4 averages; eval mode."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 24),
        nn.ReLU(),
        nn.Linear(24, CLASSES),
    ).eval()


def make_trained(dataset: ImageDataset) -> nn.Sequential:
    """`make_network`, trained until it is right nearly always."""
    network = make_network()
    batches = dataset.train_batches(20, "cpu", 1, PLAIN)
    Trainer(TrainingOptions(epoch=6, lr=0.05), device="cpu", seed=1).fit(network, batches)
    return network


def setup(**options: Any) -> Setup:
    """How the attacks train on it."""
    return Setup(**{"training": RECIPE, "batch_size": 20, "augmentation": PLAIN, **options})


def value(result: Result, name: str) -> float | None:
    """A metric of a result."""
    return result.metrics[name].value
