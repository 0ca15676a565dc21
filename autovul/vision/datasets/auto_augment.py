"""AutoAugment's policy for CIFAR10, on a whole batch: images that get the same operation get it together."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from autovul.vision.datasets.transfer import send

# Pairs of operations, each with its chance and its level from 0 to 9 (None: the operation has no strength).
POLICY: tuple[tuple[tuple[str, float, int | None], tuple[str, float, int | None]], ...] = (
    (("invert", 0.1, None), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, None), ("equalize", 0.9, None)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("colour", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, None), ("equalize", 0.5, None)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("colour", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, None), ("autocontrast", 0.4, None)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("colour", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, None)),
    (("equalize", 0.2, None), ("autocontrast", 0.6, None)),
    (("equalize", 0.2, None), ("equalize", 0.6, None)),
    (("colour", 0.9, 9), ("equalize", 0.6, None)),
    (("autocontrast", 0.8, None), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("colour", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, None)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, None), ("solarize", 0.8, 3)),
    (("equalize", 0.8, None), ("invert", 0.1, None)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, None)),
)
SIGNED = {"shear_y", "translate_x", "translate_y", "rotate", "brightness", "colour", "contrast", "sharpness"}


def auto_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply to each image one pair of `POLICY`, drawn by chance, and of the pair each operation by its own chance.

    Args:
        images: uint8, shape (N, C, H, W) with 1 or 3 channels, on any device; left as they are.
        generator: On the CPU; it moves on by what torchvision's ``AutoAugment`` would draw for one image after another.

    Returns:
        uint8, shape (N, C, H, W): what torchvision's ``AutoAugment`` gives.

    Source: Cubuk et al., AutoAugment: Learning Augmentation Policies from Data (arXiv 1805.09501), with the strengths
    of torchvision.
    """
    height, width = images.shape[2:]
    stages: tuple[dict[tuple[str, float], list[int]], ...] = ({}, {})
    for index in range(len(images)):
        pair = POLICY[int(torch.randint(len(POLICY), (), generator=generator))]
        for groups, (name, chance, level) in zip(stages, pair, strict=True):
            if torch.rand((), generator=generator) <= chance:
                strength = _strength(name, level, height, width)
                if name in SIGNED and torch.rand((), generator=generator) <= 0.5:
                    strength = -strength
                groups.setdefault((name, strength), []).append(index)
    images, rounds = images.clone(), [*stages[0].items(), *stages[1].items()]
    everyone = torch.tensor([index for _, members in rounds for index in members], dtype=torch.int64)
    parts = send(everyone, images.device).split([len(members) for _, members in rounds])  # one journey for all
    for ((name, strength), _), chosen in zip(rounds, parts, strict=True):
        images[chosen] = _apply(name, strength, images[chosen])
    return images


@cache
def _strength(name: str, level: int | None, height: int, width: int) -> float:
    """What a level comes to: evenly spaced between none and the most, in single precision as torchvision has it."""
    if level is None:
        return 0.0
    if name == "posterize":
        return float(round(8 - level / (9 / 4)))
    translation = 150 / 331
    most = {"shear_y": 0.3, "translate_x": translation * width, "translate_y": translation * height, "rotate": 30.0}
    start, end = (1.0, 0.0) if name == "solarize" else (0.0, most.get(name, 0.9))
    return float(torch.linspace(start, end, 10)[level])


def _apply(name: str, strength: float, images: Tensor) -> Tensor:
    """An operation on each of several images, uint8 (N, C, H, W)."""
    from torchvision.transforms.v2 import functional

    match name:
        case "shear_y":
            angle = math.degrees(math.atan(strength))
            return functional.affine(images, 0.0, [0, 0], 1.0, [0.0, angle], center=[0.0, 0.0])
        case "translate_x":
            return functional.affine(images, 0.0, [int(strength), 0], 1.0, [0.0, 0.0])
        case "translate_y":
            return functional.affine(images, 0.0, [0, int(strength)], 1.0, [0.0, 0.0])
        case "rotate":
            return functional.rotate(images, strength)
        case "brightness":
            return functional.adjust_brightness(images, 1 + strength)
        case "colour":
            return functional.adjust_saturation(images, 1 + strength)
        case "contrast":
            return functional.adjust_contrast(images, 1 + strength)
        case "sharpness":
            return functional.adjust_sharpness(images, 1 + strength)
        case "posterize":
            return functional.posterize(images, int(strength))
        case "solarize":
            return functional.solarize(images, 255 * strength)
        case "autocontrast":
            return functional.autocontrast(images)
        case "equalize":
            return functional.equalize(images)
        case "invert":
            return functional.invert(images)
    raise ValueError(f"no operation is called {name!r}")
