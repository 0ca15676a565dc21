"""The pixels of a trigger, and how they are put onto images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autovul.vision.datasets.transfer import send


@dataclass(frozen=True, eq=False)
class Trigger:
    r"""Coloured pixels at places of an image.

    .. math:: x' = x + \text{mask} \cdot (1 - \alpha) \cdot (\text{mark} - x)

    Attributes:
        ARRAYS: What a file holds of it.
        mark: (C, h, w), the colours, in [0, 1].
        mask: (h, w), how far each pixel covers what is under it, in [0, 1]; 0 is see-through.
        alpha: Transparency of the whole, in [0, 1]; 0 is opaque.
        places: (h · w,), int64: where each pixel of the mark, row by row, lies in the image, as row · W + column.
        size: (H, W) of the images.
        random_pos: Whether each image has the mark elsewhere; ``places`` are then those at the top left.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("mark", "mask", "alpha", "places", "size", "random_pos")

    mark: Tensor
    mask: Tensor
    alpha: float
    places: Tensor
    size: tuple[int, int]
    random_pos: bool = False

    def apply(
        self, images: Tensor, *, generator: torch.Generator | None = None, places: Tensor | None = None
    ) -> Tensor:
        """Put the trigger onto images, all at once and on their device; gradients reach images and mark.

        Args:
            images: (N, C, H, W), floating point, in [0, 1]; left as they are.
            generator: On the CPU, for random positions; None: torch's global one.
            places: (N, h · w) or (h · w,), in place of the trigger's own, as `draw_places` gives them.

        Returns:
            (N, C, H, W).

        Raises:
            ValueError: The images have another shape than the trigger is for.
        """
        expected = (self.mark.shape[0], *self.size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected or not images.is_floating_point():
            found = f"{images.dtype} of shape {tuple(images.shape)}"
            raise ValueError(
                f"images must be floating point of shape (N, {', '.join(map(str, expected))}), got {found}"
            )
        if places is None:
            places = self.draw_places(len(images), generator) if self.random_pos else self.places
        flat = images.flatten(2)
        where = places.to(images.device).expand(len(images), -1)[:, None].expand(-1, flat.shape[1], -1)
        opacity = self.opacity.to(images).flatten()
        # lerp is exact at both ends: an opaque mark has its own colours to the last bit.
        blended = torch.lerp(flat.gather(2, where), self.mark.to(images).flatten(1)[None], opacity)
        return flat.scatter(2, where, blended).view_as(images)

    @property
    def opacity(self) -> Tensor:
        """(h, w), mask · (1 − alpha)."""
        return self.mask * (1 - self.alpha)

    def draw_places(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Places for ``count`` images, (count, h · w): random ones, all equally likely, or ``count`` times the own.

        Args:
            count: Number of images.
            generator: On the CPU; None: torch's global one.
        """
        if not self.random_pos:
            return self.places.expand(count, -1)
        (height, width), (rows, columns) = self.size, self.mask.shape
        down = torch.randint(height - rows + 1, (count, 1), generator=generator)
        right = torch.randint(width - columns + 1, (count, 1), generator=generator)
        return self.places + send(down * width + right, self.places.device)

    def alone(self) -> Tensor:
        """(1, C, H, W): a black image that holds only the mark, opaque, at its own places."""
        black = self.mark.new_zeros(1, self.mark.shape[0], *self.size)
        return replace(self, alpha=0.0).apply(black, places=self.places)

    def with_mark(self, mark: Tensor) -> Trigger:
        """The same trigger in other colours, (C, h, w)."""
        return replace(self, mark=mark)

    def to(self, device: torch.device | str) -> Trigger:
        """The same trigger on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ("mark", "mask", "places")}
        return replace(self, **moved)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The trigger as plain arrays, for an ``.npz`` file."""
        return {
            "mark": self.mark.detach().cpu().numpy(),
            "mask": self.mask.cpu().numpy(),
            "alpha": np.array(self.alpha),
            "places": self.places.cpu().numpy(),
            "size": np.array(self.size),
            "random_pos": np.array(self.random_pos),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Trigger:
        """The trigger that `to_arrays` gave.

        Raises:
            KeyError: An array is missing.
            ValueError: An array has another shape or range.
        """
        mark, mask, places = (torch.from_numpy(np.array(arrays[name])) for name in ("mark", "mask", "places"))
        height, width = (int(side) for side in arrays["size"])
        trigger = cls(mark, mask, float(arrays["alpha"]), places, (height, width), bool(arrays["random_pos"]))
        if mark.ndim != 3 or mark.shape[1:] != mask.shape or places.shape != (mask.numel(),):
            raise ValueError(f"mark {tuple(mark.shape)}, mask {tuple(mask.shape)} and places {tuple(places.shape)}")
        if not 0 <= int(places.min()) <= int(places.max()) < height * width:
            raise ValueError(f"a place outside the image of {height} x {width}")
        return trigger
