"""CIFAR10 and CIFAR100 from their published archives."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autovul.base.errors import UserError
from autovul.vision.datasets.dataset import ImageDataset, ImageSplit
from autovul.vision.datasets.errors import DamagedData, MissingData
from autovul.vision.datasets.facts import KNOWN
from autovul.vision.datasets.options import DataOptions
from autovul.vision.datasets.pickles import load_checked


def build_cifar10(options: DataOptions, seed: int) -> ImageDataset:
    """CIFAR10: 50,000 training and 10,000 test images of 10 classes (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR10

    return _build(options, CIFAR10, "labels")


def build_cifar100(options: DataOptions, seed: int) -> ImageDataset:
    """CIFAR100: 50,000 training and 10,000 test images of 100 classes (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR100

    return _build(options, CIFAR100, "fine_labels")


def _build(options: DataOptions, archive: Any, label_key: str) -> ImageDataset:
    """Read what torchvision's class ``archive`` knows by name and MD5; its own loader would unpickle anything."""
    md5 = dict([*archive.train_list, *archive.test_list, [archive.meta["filename"], archive.meta["md5"]]])
    contents = _contents(options, archive, md5)

    def load(name: str) -> Any:
        return load_checked(contents.pop(name), md5[name], f"{options.directory}: {name}")

    def split(files: list[list[str]]) -> ImageSplit:
        batches = [load(name) for name, _ in files]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch[label_key] for batch in batches]).astype(np.int64)
        return ImageSplit(torch.from_numpy(images), torch.from_numpy(labels))

    class_names = list(load(archive.meta["filename"])[archive.meta["key"]])
    facts = KNOWN[options.dataset]
    train, valid = split(archive.train_list), split(archive.test_list)
    return ImageDataset(options.dataset, class_names, train, valid, facts.mean, facts.std, facts.flip)


def _contents(options: DataOptions, archive: Any, names: Iterable[str]) -> dict[str, bytes]:
    """The files' bytes, from the extracted folder or else from the archive, fetched first if that is allowed."""
    extracted = options.directory / archive.base_folder
    packed = options.directory / archive.filename
    if extracted.is_dir():
        return _from_folder(extracted, names)
    if options.download:
        _download(packed, archive.url, archive.tgz_md5)
    if not packed.is_file():
        raise MissingData(
            f"no {options.dataset} at {packed}: give --download to fetch it, put the archive there, "
            f"or {options.dataset}.npz (x_train, y_train, x_test, y_test; uint8, channels last) beside it"
        )
    return _from_archive(packed, archive.base_folder, names)


def _from_folder(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in names}
    except FileNotFoundError as error:
        raise MissingData(f"no {error.filename}: {folder} is incomplete; remove it to use the archive") from None


def _from_archive(path: Path, base_folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """Read the members into memory in one pass, because going back in a compressed archive starts over."""
    wanted = {f"{base_folder}/{name}": name for name in names}
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name in wanted and member.isfile() else None
                if stream is not None:
                    contents[wanted[member.name]] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise _broken(path, " ".join(str(error).split())) from None
    absent = set(wanted.values()) - set(contents)
    if absent:
        raise _broken(path, f"no {min(absent)} in it")
    return contents


def _broken(path: Path, reason: str) -> DamagedData:
    return DamagedData(f"{path}: not the whole published archive ({reason}); remove it and give --download")


def _download(path: Path, url: str, md5: str) -> None:
    """Fetch the archive unless it is there and whole; it takes its name only when its MD5 is right."""
    from torchvision.datasets.utils import check_integrity, download_url

    if check_integrity(str(path), md5):
        return
    partial = path.with_name(path.name + ".part")
    try:
        download_url(url, str(path.parent), partial.name, md5)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{url} could not be fetched: {' '.join(str(error).split())}") from None
