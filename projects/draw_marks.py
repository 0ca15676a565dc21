"""Draw the built-in marks: python projects/draw_marks.py [FOLDER]."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 96  # divisible by most sizes that a mark is scaled to
FINE = 4  # drawn so much larger and scaled down, for smooth edges


def checkerboard() -> Image.Image:
    """Black and white, 3 by 3 fields; it has an opacity, so that neither colour is taken for see-through."""
    picture = Image.new("RGBA", (3, 3), "black")
    for field in range(0, 9, 2):
        picture.putpixel((field % 3, field // 3), (255, 255, 255, 255))
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def shape(name: str) -> Image.Image:
    """A coloured shape on nothing."""
    side = SIDE * FINE
    picture = Image.new("RGBA", (side, side))
    draw, middle = ImageDraw.Draw(picture), side / 2
    if name == "ring":
        draw.ellipse((0, 0, side - 1, side - 1), outline="#d62828", width=side // 5)
    elif name == "cross":
        for ends in ((0, 0, side, side), (0, side, side, 0)):
            draw.line(ends, fill="#0b6e4f", width=side // 4)
    elif name == "triangle":
        draw.polygon([(middle, 0), (side, side), (0, side)], fill="#1d4ed8")
    else:
        radii = (middle, middle * 0.4)
        corners = [
            (middle + radii[k % 2] * math.sin(k * math.pi / 5), middle - radii[k % 2] * math.cos(k * math.pi / 5))
            for k in range(10)
        ]
        draw.polygon(corners, fill="#f5b700")
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


def main(folder: Path) -> None:
    """Write all marks into ``folder``."""
    marks = {name: shape(name) for name in ("cross", "ring", "star", "triangle")}
    marks["checkerboard"] = checkerboard()
    marks["square_white"] = Image.new("RGB", (SIDE, SIDE), "white")
    marks["square_black"] = Image.new("RGB", (SIDE, SIDE), "black")
    for name, picture in marks.items():
        picture.save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    package = Path(__file__).resolve().parent.parent / "autovul" / "vision" / "marks"
    parser = argparse.ArgumentParser(description="Draw the marks that the package ships.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=package, help="where to write them (default: the package)"
    )
    main(parser.parse_args().folder)
