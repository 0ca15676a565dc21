"""The user's own images, in one directory a class."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.eight_bits import eight_bits
from autovul.vision.datasets.errors import DamagedData, MissingData
from autovul.vision.datasets.facts import measured
from autovul.vision.datasets.options import DataOptions
from autovul.vision.datasets.splits import stratified_split

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
VALID_NAMES = ("valid", "val", "test")


def build(options: DataOptions, seed: int) -> ImageDataset:
    """Read ``train/{class}/*.png`` and ``valid/{class}/*.png`` (or ``val``, ``test``), or ``{class}/*.png`` alone.

    A single level of class folders is split 80 to 20 in every class, seeded. Files are taken in the order of their
    names; those that end as in `ENDINGS` count, everything else is passed over. An image is turned as its EXIF says,
    made RGB (or grey) of eight bits, scaled so that its shorter side is ``image_size``, and cropped to the centre
    square. Mean and standard deviation are those of the training images.

    Args:
        options: ``image_size``, ``grey``, ``num_workers`` (threads) and where the files lie.
        seed: Of the split of a single level.

    Raises:
        MissingData: There are no class folders, or no validation images beside ``train``.
        DamagedData: An image cannot be read, or the classes do not suit.
    """
    root = options.directory
    if not root.is_dir():
        raise MissingData(f"no directory {root}: it is to hold class folders of images, or {options.dataset}.npz")
    if (root / "train").is_dir():
        held_out = next((root / name for name in VALID_NAMES if (root / name).is_dir()), None)
        if held_out is None:
            raise MissingData(f"{root} has train and none of {', '.join(VALID_NAMES)}")
        class_names = _classes(root / "train")
        unknown = sorted(set(_classes(held_out, least=1)) - set(class_names))
        if unknown:
            raise DamagedData(f"{held_out / unknown[0]}: a class that {root / 'train'} does not have")
        train, valid = (_read(_files(part, class_names), options) for part in (root / "train", held_out))
    else:
        class_names = _classes(root, f", or {options.dataset}.npz")
        everything = _read(_files(root, class_names), options)
        counts = torch.bincount(everything.labels)
        if counts.min() < 2:
            raise DamagedData(f"{root / class_names[int(counts.argmin())]} has 1 image; a split needs 2 at least")
        train, valid = map(everything.subset, stratified_split(everything.labels, seed=seed))
    return ImageDataset(options.dataset, class_names, train, valid, *measured(train.images, str(root)))


def _classes(parent: Path, otherwise: str = "", least: int = 2) -> list[str]:
    names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < least:
        wanted = ["one", "two"][least - 1]
        raise MissingData(f"{parent} needs a folder for each class, {wanted} at least{otherwise}; it has {len(names)}")
    return names


def _files(parent: Path, class_names: Iterable[str]) -> list[tuple[Path, int]]:
    """Every image file with its label; validation may lack the folder of a class."""
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(class_names):
        folder = parent / name
        if not folder.is_dir():
            continue
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.name[0] != ".")
        if not files:
            raise DamagedData(f"{folder}: no image ({', '.join(ENDINGS)})")
        found.extend((path, label) for path in files)
    return found


def _read(files: list[tuple[Path, int]], options: DataOptions) -> ImageSplit:
    side, mode = options.image_size, "L" if options.grey else "RGB"
    images = np.empty((len(files), side, side, len(mode)), np.uint8)

    def decode(position: int) -> str:
        try:
            images[position] = _decode(files[position][0], side, mode)
        except Exception as error:  # Pillow's readers raise many kinds for a broken file.
            return f"{files[position][0]} ({' '.join(str(error).split())})"
        return ""

    if options.num_workers:
        with ThreadPoolExecutor(options.num_workers) as pool:
            failures = [*filter(None, pool.map(decode, range(len(files))))]
    else:
        failures = [*filter(None, map(decode, range(len(files))))]
    if failures:
        more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
        raise DamagedData(f"unreadable images: {', '.join(failures[:3])}{more}")
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
    return ImageSplit(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), labels)


def _decode(path: Path, side: int, mode: str) -> np.ndarray:
    """An image's pixels, (side, side, channels)."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(eight_bits(image)).convert(mode)
    fitted = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, -1)
