"""Pictures of marks: the built-in ones and those in files, brought to size."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autovul.base.errors import UserError, nearest
from autovul.vision.datasets.eight_bits import eight_bits

MODES = {1: "LA", 3: "RGBA"}  # Pillow's names, by the number of colour channels; A is opacity


def built_in() -> list[str]:
    """The names of the marks that come with the package."""
    folder = files("autovul.vision.marks")
    return sorted(entry.name.removesuffix(".png") for entry in folder.iterdir() if entry.name.endswith(".png"))


def read(path: str, channels: int, height: int, width: int) -> tuple[Tensor, Tensor, bool]:
    """Read a mark and scale it.

    Scaling down averages over the area of each new pixel, scaling up repeats; colours are weighted by opacity.

    Args:
        path: A built-in name or an image file.
        channels: 1 (grey) or 3 (red, green, blue).
        height, width: In pixels.

    Returns:
        Colours (channels, height, width) in [0, 1], opacity (height, width) in [0, 1], and whether the picture itself
        says what is see-through.

    Raises:
        UserError: There is no such mark, or the file is no image.
    """
    from PIL import Image

    if channels not in MODES:
        raise UserError(f"a mark is for images of 1 or 3 channels, these have {channels}")
    with _open(path) as picture:
        transparent = "A" in picture.getbands() or "transparency" in picture.info
        scaled = picture.convert("RGBA").resize((width, height), Image.Resampling.BOX)
    bands = [_plane(band) for band in scaled.convert(MODES[channels]).split()]
    return torch.stack(bands[:-1]), bands[-1], transparent


def _open(path: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    # A name with the ending is also found, but a file of that name goes first.
    name = path if path in built_in() else path.removesuffix(".png")
    if name in built_in() and (name == path or not Path(path).exists()):
        return Image.open(BytesIO(files("autovul.vision.marks").joinpath(f"{name}.png").read_bytes()))
    try:
        with Image.open(path) as file:
            picture = eight_bits(file)
            picture.load()
    except FileNotFoundError:
        hint = nearest(name, built_in()) or f"; built in are {', '.join(built_in())}"
        raise UserError(f"mark_path: no image file {path!r} and no built-in mark of this name{hint}") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UserError(f"mark_path: {path} is no image that can be read ({' '.join(str(error).split())})") from None
    return picture


def _plane(band: Any) -> Tensor:
    return torch.from_numpy(np.asarray(band, dtype=np.float32) / 255)
