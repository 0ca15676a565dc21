"""scikit-learn's handwritten digits: 1,797 real images that are always there."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.facts import KNOWN
from autovul.vision.datasets.options import DataOptions
from autovul.vision.datasets.splits import stratified_split


def build(options: DataOptions, seed: int) -> ImageDataset:
    """Read the digits as grey 3 × 32 × 32 images: 1,438 to train on and 359 to validate with, a fifth of each class.

    The 8 × 8 originals with values 0 … 16 are scaled up fourfold, bilinearly, and to 0 … 255. Every intermediate value
    is a multiple of 1/1024 below 2⁸, which float32 holds exactly, so that the images are the same on every machine.

    Args:
        options: Only the name is used.
        seed: Of the stratified split.

    Source: the test set of "Optical Recognition of Handwritten Digits" (UCI), as `sklearn.datasets.load_digits` has it.
    """
    from sklearn.datasets import load_digits

    bundled = load_digits()
    small = torch.from_numpy(bundled.images.astype(np.float32))[:, None]
    large = functional.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False) * (255 / 16)
    images = large.round().to(torch.uint8).repeat(1, 3, 1, 1)
    everything = ImageSplit(images, torch.from_numpy(bundled.target.astype(np.int64)))
    train, valid = stratified_split(everything.labels, seed=seed)
    facts = KNOWN["digits"]
    return ImageDataset(
        options.dataset,
        list(facts.class_names),
        everything.subset(train),
        everything.subset(valid),
        facts.mean,
        facts.std,
        facts.flip,
    )
