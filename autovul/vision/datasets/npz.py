"""A data set as one archive of arrays, `{dataset}.npz`: the way without a download, for any name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autovul.base.archive import DamagedArchive, read_arrays
from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.errors import DamagedData
from autovul.vision.datasets.facts import KNOWN, Facts, measured, numbered
from autovul.vision.datasets.options import DataOptions


def path_of(options: DataOptions) -> Path:
    """Where the archive of this data set would be."""
    return options.directory / f"{options.dataset}.npz"


def read(path: Path, name: str) -> ImageDataset:
    """Read ``x_train``, ``y_train``, ``x_test``, ``y_test`` and, if there, ``classes`` and ``flip`` from an archive.

    Images are uint8, shape (N, H, W, 3), or (N, H, W, 1) or (N, H, W) for grey ones; labels are integers 0 … K − 1,
    shape (N,), of which each occurs in ``y_train``; ``classes`` are K names; ``flip`` is a truth value, whether a
    mirrored image still shows its class. No pickle is read. Mean and standard deviation are those of the data set that
    is known by this name, otherwise (and for another number of channels) those of the training images.

    Args:
        path: The archive.
        name: The data set's name.

    Raises:
        DamagedData: The file is broken, or an array is missing or of another shape, type or range.
    """
    arrays = _load(path)
    train, valid = (_split(path, arrays, part) for part in ("train", "test"))
    if train.images.shape[1:] != valid.images.shape[1:]:
        sides = [tuple(split.images.shape[1:]) for split in (train, valid)]
        raise DamagedData(f"{path}: x_train holds images of {sides[0]}, x_test of {sides[1]}")
    facts = KNOWN.get(name)
    if facts is None:
        facts = Facts(*measured(train.images, str(path)))
    elif len(facts.mean) != train.images.shape[1]:
        mean, std = measured(train.images, str(path))
        facts = replace(facts, mean=mean, std=std)
    class_names = _class_names(path, arrays, train.labels, facts)
    largest = int(valid.labels.max())
    if largest >= len(class_names):
        raise DamagedData(f"{path}: y_test holds label {largest}; {_allowed(len(class_names))}")
    flip = arrays.get("flip", np.array(facts.flip))
    if flip.shape != () or flip.dtype != np.bool_:
        raise DamagedData(f"{path}: flip must be one truth value, got {flip.dtype} of shape {flip.shape}")
    return ImageDataset(name, class_names, train, valid, facts.mean, facts.std, bool(flip))


def _load(path: Path) -> dict[str, Any]:
    wanted = ("x_train", "y_train", "x_test", "y_test")
    try:
        arrays = read_arrays(path, (*wanted, "classes", "flip"))
    except DamagedArchive as error:
        raise DamagedData(f"{path}: not a whole .npz archive of plain arrays ({error})") from None
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise DamagedData(f"{path}: no array {missing[0]}; it needs {', '.join(wanted)}")
    return arrays


def _split(path: Path, arrays: dict[str, Any], part: str) -> ImageSplit:
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if images.dtype != np.uint8:
        raise DamagedData(f"{path}: x_{part} must be uint8 (0 … 255), got {images.dtype}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DamagedData(
            f"{path}: x_{part} must have shape (N, H, W, 3), for grey images (N, H, W), and N above 0, "
            f"got {images.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise DamagedData(f"{path}: y_{part} must be whole numbers, got {labels.dtype}")
    if labels.shape != images.shape[:1]:
        raise DamagedData(f"{path}: y_{part} must have shape ({len(images)},) as x_{part} has, got {labels.shape}")
    if labels.min() < 0:
        raise DamagedData(f"{path}: y_{part} holds label {labels.min()}; labels start at 0")
    if part == "train" and "classes" not in arrays and labels.max() >= len(labels):
        raise DamagedData(f"{path}: y_train holds label {labels.max()}, and has not an image of each class up to it")
    if labels.max() > np.iinfo(np.int64).max:
        raise DamagedData(f"{path}: y_{part} holds label {labels.max()}, which no class can have")
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return ImageSplit(torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64)))


def _class_names(path: Path, arrays: dict[str, Any], labels: torch.Tensor, facts: Facts) -> list[str]:
    names = list(facts.class_names)
    if "classes" in arrays:
        if arrays["classes"].ndim != 1 or arrays["classes"].dtype.kind != "U":
            raise DamagedData(f"{path}: classes must be a list of texts, got {arrays['classes'].dtype}")
        names = arrays["classes"].tolist()
    names = names or numbered(int(labels.max()) + 1)
    if int(labels.max()) >= len(names):
        raise DamagedData(f"{path}: y_train holds label {int(labels.max())}; {_allowed(len(names))}")
    counts = torch.bincount(labels, minlength=len(names))
    if len(names) < 2 or not counts.all():
        absent = int(counts.argmin())
        reason = "there is one class only" if len(names) < 2 else f"no training image has label {absent}"
        raise DamagedData(f"{path}: {reason}; {_allowed(max(len(names), 2))}, each occurring in y_train")
    return names


def _allowed(count: int) -> str:
    return f"labels are 0 … {count - 1}"
