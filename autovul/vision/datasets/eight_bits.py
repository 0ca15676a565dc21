"""Pictures of more than eight bits a channel, which Pillow would cut off at 255 instead of scaling them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def eight_bits(picture: Image) -> Image:
    """The picture in a mode of eight bits: 16-bit grey (0 … 65535) is scaled, the others come back as they are.

    Raises:
        ValueError: Its pixels are 32-bit numbers, whose range nothing says.
    """
    from PIL import Image

    # Pillow reads 16-bit grey of a PGM, and in some versions of a PNG, as mode I.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(picture, dtype=np.float64) / 257).round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels are 32-bit numbers (mode {picture.mode}): save it with 8 or 16 bits")
    return picture
