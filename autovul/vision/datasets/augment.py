"""Augmentation of training images: a whole batch at once, on the device where it lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from autovul.vision.datasets.auto_augment import auto_augment
from autovul.vision.datasets.transfer import send


@dataclass(frozen=True)
class Augmentation:
    """Random crop, mirroring, AutoAugment and Cutout, in this order, on uint8 images before normalisation.

    With (r, c) a pixel, Δ uniform in {0 … 2p}² and p the padding, the crop is
    x′[r, c] = x[r + Δ₁ − p, c + Δ₂ − p], and 0 outside the image. Mirroring (chance ½) takes column W − 1 − c.
    Cutout sets to 0 the square of side L that begins at (m₁ − ⌊L/2⌋, m₂ − ⌊L/2⌋), clipped at the borders, with m₁
    uniform in {0 … H} and m₂ in {0 … W}.

    Each image has its own random numbers. They come from a CPU generator, in the same order whatever the device.

    Args:
        padding: Zeros around the image before the crop, in pixels; 0 leaves the crop out.
        flip: Whether to mirror.
        auto_augment: Whether to apply AutoAugment's CIFAR10 policy (as torchvision does).
        cutout_length: Side L of Cutout's square, in pixels; None leaves it out.

    Raises:
        ValueError: ``padding`` is negative, or ``cutout_length`` below 1.

    Source: crop and mirroring, He et al. 2016 (arXiv 1512.03385), section 4.2; AutoAugment, arXiv 1805.09501; Cutout,
    arXiv 1708.04552, whose centre never lies on the far border: here, as in the protocol, it may (0 … H inclusive).
    """

    padding: int = 4
    flip: bool = True
    auto_augment: bool = False
    cutout_length: int | None = None

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0, got {self.padding}")
        if self.cutout_length is not None and self.cutout_length < 1:
            raise ValueError(f"cutout_length must be at least 1 or None, got {self.cutout_length}")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Vary a batch.

        Args:
            images: uint8, shape (N, C, H, W), on any device; left as they are.
            generator: On the CPU; it moves on.

        Returns:
            uint8, shape (N, C, H, W), on the same device.
        """
        count, _, height, width = images.shape
        span = 2 * self.padding + 1
        rows, columns = (torch.randint(span, (count,), generator=generator) for _ in range(2))
        mirrored = torch.randint(2, (count,), generator=generator)
        rows, columns, mirrored = send(torch.stack([rows, columns, mirrored]), images.device)
        if self.padding:
            images = crop(images, rows, columns, self.padding)
        if self.flip:
            images = mirror(images, mirrored.bool())
        if self.auto_augment:
            images = auto_augment(images, generator)
        if self.cutout_length is not None:
            centre_rows = torch.randint(height + 1, (count,), generator=generator)
            centre_columns = torch.randint(width + 1, (count,), generator=generator)
            centres = send(torch.stack([centre_rows, centre_columns]), images.device)
            images = cutout(images, centres[0], centres[1], self.cutout_length)
        return images


def crop(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, padding: int) -> torch.Tensor:
    """Crop each image, at its own place, out of its zero-padded self.

    Args:
        images: Shape (N, C, H, W).
        rows: int64, shape (N,), in 0 … 2 · ``padding``: the crop's first row in the padded image.
        columns: Likewise.
        padding: Pixels on every side.

    Returns:
        Shape (N, C, H, W).
    """
    height, width = images.shape[2:]
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, rows, columns]


def mirror(images: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Exchange left and right where ``mirrored`` (bool, shape (N,)) is true; images have shape (N, C, H, W)."""
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def cutout(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, length: int) -> torch.Tensor:
    """Set a square of each image to zero.

    Args:
        images: Shape (N, C, H, W).
        rows: int64, shape (N,), in 0 … H: row ⌊``length`` / 2⌋ of the square.
        columns: Likewise, in 0 … W.
        length: Side of the square in pixels; what leaves the image is not made up for.

    Returns:
        Shape (N, C, H, W).
    """

    def hit(centres: torch.Tensor, side: int) -> torch.Tensor:
        offset = torch.arange(side, device=images.device) - (centres - length // 2)[:, None]
        return (offset >= 0) & (offset < length)

    square = hit(rows, images.shape[2])[:, None, :, None] & hit(columns, images.shape[3])[:, None, None, :]
    return images.masked_fill(square, 0)
