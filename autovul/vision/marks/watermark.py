"""A trigger as the options describe it."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import PrivateAttr, field_validator, model_validator
from torch import Tensor

from autovul.base.options import OptionError, Options, option
from autovul.vision.marks import pictures
from autovul.vision.marks.trigger import Trigger

SEED = 1228
NAMED_COLOURS = {"black": 0.0, "white": 1.0}


class MarkOptions(Options):
    """What the trigger looks like and where it is put."""

    mark_path: str = option("square_white", "The mark: an image file, or the name of a built-in one.", min_length=1)
    mark_alpha: float = option(0.0, "Transparency of the mark: 0 is opaque, 1 invisible.", ge=0, le=1)
    mark_height: int = option(3, "Height that the mark is scaled to.", ge=1, unit="pixels")
    mark_width: int = option(3, "Width that the mark is scaled to.", ge=1, unit="pixels")
    height_offset: int = option(0, "Rows above the mark.", ge=0, unit="pixels")
    width_offset: int = option(0, "Columns to the left of the mark.", ge=0, unit="pixels")
    edge_color: Literal["auto", "black", "white"] | tuple[float, ...] | None = option(
        "auto",
        "Pixels of the scaled mark that have this colour are see-through: auto takes the most frequent colour of its "
        "edge (none if the mark has one colour only, or a transparency of its own); or values from 0 to 1, one or one "
        "a channel.",
    )
    random_pos: bool = option(False, "Put the mark elsewhere on each image, every place being equally likely.")
    random_init: bool = option(False, "Start from random colours in place of the picture's.")
    mark_distributed: bool = option(False, "Scatter the pixels of the mark over the image, at random but fixed places.")

    @field_validator("edge_color")
    @classmethod
    def _in_range(cls, value: Any) -> Any:
        if isinstance(value, tuple) and (not value or not all(0 <= part <= 1 for part in value)):
            raise ValueError(f"must be values from 0 (black) to 1 (white), got {','.join(map(str, value)) or 'none'}")
        return value

    @model_validator(mode="after")
    def _one_placement(self) -> MarkOptions:
        if self.random_pos and self.mark_distributed:
            raise ValueError("random_pos moves the mark as a whole, mark_distributed scatters it: give one of the two")
        for name in ("height_offset", "width_offset"):
            if getattr(self, name) and (self.random_pos or self.mark_distributed):
                other = "random_pos" if self.random_pos else "mark_distributed"
                raise ValueError(f"{name} has no meaning with {other}")
        return self


class Watermark(MarkOptions):
    """A mark for images of a given shape.

    ``Watermark(mark_height=4, mark_width=4).apply(images)`` puts a white square of 4 × 4 pixels at the top left.

    Raises:
        OptionError: An option is out of range, or the mark does not fit onto the image.
        UserError: There is no such mark, or the file is no image.
    """

    data_shape: tuple[int, int, int] = option((3, 32, 32), "Channels, height and width of an image.")

    _trigger: Trigger = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Read the picture, so that a wrong path is noticed at once."""
        self._require_fit()
        self._trigger = self._build(torch.Generator().manual_seed(SEED))

    def trigger(self, seed: int = SEED) -> Trigger:
        """The trigger's pixels.

        Args:
            seed: Of random colours and of scattered places.
        """
        return self._trigger if seed == SEED else self._build(torch.Generator().manual_seed(seed))

    def apply(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Put the mark onto images (N, C, H, W) in [0, 1]; see `Trigger.apply`."""
        return self._trigger.apply(images, generator=generator)

    def _require_fit(self) -> None:
        for side, length in zip(("height", "width"), self.data_shape[1:], strict=True):
            mark, offset = getattr(self, f"mark_{side}"), getattr(self, f"{side}_offset")
            if mark + offset > length:
                place = f" at {side}_offset {offset}" if offset else ""
                raise OptionError(f"mark_{side}: a mark of {mark} pixels{place} does not fit onto an image of {length}")

    def _build(self, generator: torch.Generator) -> Trigger:
        channels, height, width = self.data_shape
        mark, opacity, transparent = pictures.read(self.mark_path, channels, self.mark_height, self.mark_width)
        see_through = self._see_through(mark, transparent)
        if see_through is not None:
            opacity = opacity * (mark != see_through[:, None, None]).any(0)
        if not bool(opacity.any()):
            raise OptionError(f"edge_color: every pixel of {self.mark_path} is see-through, so that nothing would show")
        if self.random_init:
            mark = torch.rand(mark.shape, generator=generator)
        if self.mark_distributed:
            places = torch.randperm(height * width, generator=generator)[: opacity.numel()]
        else:
            rows = torch.arange(self.height_offset, self.height_offset + self.mark_height)
            columns = torch.arange(self.width_offset, self.width_offset + self.mark_width)
            places = (rows[:, None] * width + columns).flatten()
        return Trigger(mark, opacity, self.mark_alpha, places, (height, width), self.random_pos)

    def _see_through(self, mark: Tensor, transparent: bool) -> Tensor | None:
        """The colour (C,) whose pixels do not show, if there is one."""
        if self.edge_color is None or (self.edge_color == "auto" and transparent):
            return None
        if self.edge_color == "auto":
            return most_frequent_edge_colour(mark)
        values = (NAMED_COLOURS[self.edge_color],) if isinstance(self.edge_color, str) else self.edge_color
        if len(values) not in (1, len(mark)):
            raise OptionError(f"edge_color must be one value or {len(mark)}, one a channel, got {len(values)}")
        # The picture has 256 levels: a value between two means the nearest.
        return (torch.tensor(values, dtype=torch.float32) * 255).round().div(255).expand(len(mark))


def most_frequent_edge_colour(mark: Tensor) -> Tensor | None:
    """The colour (C,) that most pixels on the rim of a picture (C, h, w) have; None if the picture has one colour only.

    Of equally frequent colours it is the darkest, channel by channel.
    """
    rim = torch.ones(mark.shape[1:], dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    if bool((mark == mark[:, :1, :1]).all()):
        return None
    colours, counts = mark[:, rim].T.unique(dim=0, return_counts=True)
    return colours[counts.argmax()]
