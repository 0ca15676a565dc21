"""The options of data: which set and where it lies; and, for the commands that use them, batches and augmentation.

Each command has the class with just the options that mean something to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from autovul.base.options import Options, option


class DataOptions(Options):
    """Which data set to read, and from where."""

    dataset: str = option(
        "cifar10",
        "Data set: digits, cifar10, cifar100, imagenet32, folder, or any name whose files lie in "
        "{data_dir}/image/{dataset} as {dataset}.npz or as class folders.",
        flags=("-d",),
    )
    data_dir: str = option("./data/data", "Directory of all data; a data set lies in its subdirectory image/{dataset}.")
    data_path: str | None = option(
        None, "Directory of this one data set, in place of {data_dir}/image/{dataset}; for images kept elsewhere."
    )
    download: bool = option(False, "Fetch a missing archive (cifar10, cifar100). The only way to the network.")
    num_classes: int | None = option(None, "Keep the first so many classes; all of them by default.", ge=2)
    num_workers: int = option(
        0, "Threads that decode image files (class folders only; everything else is held in memory).", ge=0
    )
    image_size: int = option(
        32, "Side that image files are scaled and cropped to (class folders only).", ge=8, unit="pixels"
    )

    grey: bool = option(False, "Read image files as grey, in one channel in place of three (class folders only).")

    @field_validator("dataset")
    @classmethod
    def _is_plain(cls, name: str) -> str:
        if not name or name in {".", ".."} or set(name) & set("/\\:"):
            raise ValueError(f"must be a plain name without a path, got {name!r} (a directory goes to data_path)")
        return name

    @property
    def directory(self) -> Path:
        """Where this data set's files lie."""
        return Path(self.data_path or Path(self.data_dir, "image", self.dataset)).expanduser()

    @property
    def reading(self) -> dict[str, Any]:
        """The options on which it depends what is read: all but those that say how."""
        return {name: getattr(self, name) for name in set(DataOptions.model_fields) - {"download", "num_workers"}}


class MirroredDataOptions(DataOptions):
    """Beside them, whether images may be mirrored."""

    no_flip: bool = option(False, "Never mirror training images: for digits, letters and signs of one's own.")


class ValidatedDataOptions(DataOptions):
    """Beside them, how many validation images pass a network together."""

    valid_batch_size: int = option(100, "Validation batch.", ge=1, unit="images")


class AttackedDataOptions(DataOptions):
    """Beside them, how many images are attacked together."""

    test_batch_size: int = option(100, "Images that are attacked together.", ge=1, unit="images")


class TrainingDataOptions(ValidatedDataOptions, MirroredDataOptions):
    """Beside them, how training sees the images."""

    batch_size: int = option(96, "Training batch; the last, smaller one is kept.", ge=1, unit="images")
    auto_augment: bool = option(False, "AutoAugment, CIFAR10 policy.")
    cutout: bool = option(False, "Cutout: a square of zeros at a random place of every training image.")
    cutout_length: int | None = option(
        None,
        "Side of Cutout's square, where --cutout is on; half the image's side by default.",
        ge=1,
        unit="pixels",
        needs="cutout",
    )
