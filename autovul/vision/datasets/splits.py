"""Which images: seeded orders, splits and samples. Everything here gives indices, for `ImageSplit.subset`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from autovul.vision.datasets.errors import TooFewImages

SPLIT_SEED = 1228


def legacy_shuffle(size: int, seed: int = SPLIT_SEED) -> torch.Tensor:
    """The numbers 0 … ``size`` − 1 in the order that NumPy's legacy generator shuffles them into.

    Args:
        size: How many numbers, at least 0.
        seed: 0 … 2³² − 1, as `numpy.random.RandomState` takes it.

    Returns:
        int64, shape (size,).
    """
    order = np.arange(size, dtype=np.int64)
    np.random.RandomState(seed).shuffle(order)
    return torch.from_numpy(order)


def seeded_fraction(size: int, fraction: float, seed: int = SPLIT_SEED) -> torch.Tensor:
    """The first ⌊``size`` · ``fraction``⌋ indices of the shuffled order.

    Args:
        size: How many images there are.
        fraction: 0 … 1.
        seed: As for `legacy_shuffle`.

    Returns:
        int64, in shuffled order. A smaller fraction's are the head of a larger one's.

    Raises:
        ValueError: ``fraction`` is outside 0 … 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in 0 … 1, got {fraction}")
    # The product is meant in decimal: 100 · 0.29 is 28.999… in binary and yet 29 images.
    return legacy_shuffle(size, seed)[: math.floor(size * fraction + 1e-9)]


def stratified_split(
    labels: torch.Tensor, fraction: float = 0.2, seed: int = SPLIT_SEED
) -> tuple[torch.Tensor, torch.Tensor]:
    """Part every class in the same proportion.

    Args:
        labels: int64, shape (N,).
        fraction: The held-out part of each class, rounded to the nearest image and at least one; 0 < fraction < 1.
        seed: As for `legacy_shuffle`.

    Returns:
        Indices to train on and indices held out, both ascending, together every index once.

    Raises:
        ValueError: ``fraction`` is out of range, or a class has fewer than two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be above 0 and below 1, got {fraction}")
    order = legacy_shuffle(len(labels), seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        if len(members) < 2:
            raise ValueError(f"class {label} has 1 image; a split needs 2 at least")
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out[members[:count]] = True
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def subset_classes(labels: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
    """Indices of the images of certain classes, ascending.

    Args:
        labels: int64, shape (N,).
        classes: Class numbers.
    """
    return torch.isin(labels, torch.as_tensor(classes, dtype=labels.dtype)).nonzero().flatten()


def per_class(labels: torch.Tensor, count: int, seed: int = SPLIT_SEED, *, exact: bool = True) -> torch.Tensor:
    """The first ``count`` images of every class that occurs, in seeded order.

    Args:
        labels: int64, shape (N,).
        count: Images of each class, at least 1.
        seed: As for `legacy_shuffle`.
        exact: Whether ``count`` was asked for; if not (a default), a smaller class gives all it has.

    Returns:
        int64 indices, class by class.

    Raises:
        TooFewImages: ``exact`` and some class has fewer.
    """
    order = legacy_shuffle(len(labels), seed)
    chosen = []
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        taken = count_or_all(count, len(members), exact=exact, what=f"images of class {label}")
        chosen.append(members[:taken])
    return torch.cat(chosen) if chosen else order


def least_fraction(count: int) -> float:
    """The smallest fraction of ``count`` samples, to two digits, that does not round down to none."""
    digit = 10.0 ** (math.floor(math.log10(1 / count)) - 1)
    return math.ceil(1 / count / digit * (1 - 1e-12)) * digit


def count_or_all(asked: int, available: int, *, exact: bool, what: str = "images") -> int:
    """How many to take: what was asked for or, where that is only a default, what there is.

    Args:
        asked: At least 1.
        available: What there is.
        exact: Whether the number was asked for explicitly.
        what: Their name in the message.

    Raises:
        ValueError: ``asked`` is below 1.
        TooFewImages: There is nothing, or ``exact`` and there are fewer.
    """
    if asked < 1:
        raise ValueError(f"at least 1 must be asked for, got {asked} {what}")
    if available < (asked if exact else 1):
        raise TooFewImages(f"{asked} {what} asked for, {available} there" if exact else f"there are no {what}")
    return min(asked, available)
