"""What is known of a data set before its files are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autovul.vision.datasets.errors import DamagedData


@dataclass(frozen=True)
class Facts:
    """Per-channel mean and standard deviation of pixels in [0, 1], mirroring, and class names where they are few."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True
    class_names: tuple[str, ...] = ()


CIFAR_MEAN = (0.49139968, 0.48215827, 0.44653124)
CIFAR_STD = (0.24703233, 0.24348505, 0.26158768)

KNOWN = {
    # Of the 1,438 training images of the default split.
    "digits": Facts((0.30520799,) * 3, (0.32362885,) * 3, flip=False, class_names=tuple("0123456789")),
    "cifar10": Facts(
        CIFAR_MEAN,
        CIFAR_STD,
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    # The artifact normalises CIFAR100 with CIFAR10's numbers, and published weights expect them.
    "cifar100": Facts(CIFAR_MEAN, CIFAR_STD),
    "imagenet32": Facts((122.68 / 255, 116.66 / 255, 104.01 / 255), (63.22 / 255, 61.26 / 255, 65.09 / 255)),
}


def class_name(names: Sequence[str], index: int) -> str:
    """A class by its name; by its number where a network knows more classes than the data have."""
    return names[index] if index < len(names) else str(index)


def numbered(count: int) -> list[str]:
    """Class names where nobody gives any: "0", "1", …"""
    return [str(label) for label in range(count)]


def measured(images: torch.Tensor, source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from exact integer sums: the same numbers on every machine.

    Args:
        images: uint8, shape (N, C, H, W).
        source: Where the images come from, for the message.

    Returns:
        Mean and population standard deviation of pixels in [0, 1].

    Raises:
        DamagedData: A channel has the same value everywhere, so that nothing can be normalised.
    """
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).tolist()
        total = sum(counts)
        first = sum(value * count for value, count in enumerate(counts))
        second = sum(value * value * count for value, count in enumerate(counts))
        spread = total * second - first * first
        if not spread:
            raise DamagedData(f"{source}: channel {channel} has the same value in every pixel of every training image")
        mean.append(first / total / 255)
        std.append(spread**0.5 / total / 255)
    return tuple(mean), tuple(std)
