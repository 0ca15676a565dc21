"""ImageNet32: ImageNet's 1,281,167 training and 50,000 validation images, downsampled to 32 × 32."""

from __future__ import annotations

import numpy as np
import torch

from autovul.base.options import OptionError
from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.errors import DamagedData, MissingData
from autovul.vision.datasets.facts import KNOWN, numbered
from autovul.vision.datasets.options import DataOptions
from autovul.vision.datasets.pickles import load_checked

CLASSES = 1000

TRAIN_MD5 = {
    "train_data_batch_1": "dd6683a336ab645d336f7b47c67d8456",
    "train_data_batch_2": "b9b1f5ad237638a41e80944fc03b42af",
    "train_data_batch_3": "e33306a0f4234b5c5812a32845bfbd04",
    "train_data_batch_4": "4db6d81c460a5170a03ef03e1ddd21dd",
    "train_data_batch_5": "baa0f1d06099f55e5fe50d43fca4d334",
    "train_data_batch_6": "bba3bc6e83e0703df1ec7e277e0b6800",
    "train_data_batch_7": "48dd0fd4511b39d518dbabba2f5b36b7",
    "train_data_batch_8": "46583e44f926baaeacbf8c333dc6110f",
    "train_data_batch_9": "7c82c36ce028b457204f1080d1793669",
    "train_data_batch_10": "14e3a6ce19d584ba97208a1d9f551e63",
}
VALID_MD5 = {"val_data": "4836a1eec28cd4476eb017126cd0f059"}


def build(options: DataOptions, seed: int) -> ImageDataset:
    """Read the eleven published pickles, each against its MD5.

    Their labels 1 … 1000 become 0 … 999. A smaller ``num_classes`` drops the other classes file by file, so that
    memory holds only what is kept. Classes have no names in the files: they are called by their numbers.

    Args:
        options: ``num_classes`` at most 1000, and where the files lie.
        seed: Not used: the split is the published one.

    Raises:
        MissingData: A file is absent; the message says where to ask for it and where to put it.
        DamagedData: A file is not the published one.
        OptionError: ``num_classes`` is above 1000.

    Source: Chrabaszcz, Loshchilov and Hutter 2017 (arXiv 1707.08819).
    """
    count = options.num_classes or CLASSES
    if count > CLASSES:
        raise OptionError(f"num_classes must be at most {CLASSES} for {options.dataset}, got {count}")
    absent = [name for name in (*TRAIN_MD5, *VALID_MD5) if not (options.directory / name).is_file()]
    if absent:
        raise MissingData(
            f"no {options.directory / absent[0]}: ImageNet32 cannot be downloaded by a program. Register at "
            "https://image-net.org/download-images.php, ask for 'Downsampled image data' (32x32), and unpack both "
            f"archives so that train_data_batch_1 … train_data_batch_10 and val_data lie in {options.directory}"
        )
    facts = KNOWN["imagenet32"]
    train, valid = (_split(options, files, count) for files in (TRAIN_MD5, VALID_MD5))
    return ImageDataset(options.dataset, numbered(count), train, valid, facts.mean, facts.std, facts.flip)


def _split(options: DataOptions, files: dict[str, str], count: int) -> ImageSplit:
    parts = [_read(options, name, md5, count) for name, md5 in files.items()]
    labels = np.concatenate([labels for _, labels in parts])
    images = np.empty((len(labels), 3, 32, 32), np.uint8)
    end = len(images)
    # Each part is freed once it is copied, so that the images are not held twice.
    while parts:
        part, _ = parts.pop()
        images[end - len(part) : end] = part
        end -= len(part)
    return ImageSplit(torch.from_numpy(images), torch.from_numpy(labels))


def _read(options: DataOptions, name: str, md5: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    path = options.directory / name
    content = load_checked(path.read_bytes(), md5, str(path))
    images, labels = np.asarray(content["data"]), np.asarray(content["labels"], dtype=np.int64) - 1
    if images.dtype != np.uint8 or images.shape != (len(labels), 3 * 32 * 32):
        raise DamagedData(f"{path}: data must be uint8 ({len(labels)}, 3072), got {images.dtype} {images.shape}")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise DamagedData(f"{path}: labels must be 1 … {CLASSES}, got {labels.min() + 1} … {labels.max() + 1}")
    kept = labels < count
    return images[kept].reshape(-1, 3, 32, 32), labels[kept]
