"""From a name to a data set: an archive of arrays in place, a registered builder, or class folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from autovul.base.errors import nearest
from autovul.base.options import OptionError
from autovul.base.registry import Registry, UnknownName
from autovul.vision.datasets import folder, npz
from autovul.vision.datasets.dataset import ImageDataset
from autovul.vision.datasets.options import DataOptions, MirroredDataOptions
from autovul.vision.datasets.splits import SPLIT_SEED

Builder = Callable[[DataOptions, int], ImageDataset]

DATASETS: Registry[Builder] = Registry("data set")


def from_options(options: DataOptions, seed: int = SPLIT_SEED) -> ImageDataset:
    """Read the data set that ``options`` names.

    ``{directory}/{dataset}.npz`` is read first, whatever the name; then a registered name's own files; then class
    folders in ``{directory}``.

    Args:
        options: See `DataOptions`.
        seed: Of the split, where the data come without one (digits, class folders in one level).

    Raises:
        UnknownName: No data set has this name, and its directory holds none.
        MissingData: The files are not there.
        DamagedData: The files cannot be used.
        OptionError: ``num_classes`` is more than there are, or ``data_path`` is a file.
    """
    if options.directory.is_file():
        raise _not_a_folder(options)
    archive = npz.path_of(options)
    if archive.is_file():
        dataset = npz.read(archive, options.dataset)
    elif options.dataset in DATASETS:
        dataset = DATASETS.get(options.dataset)(options, seed)
    elif options.directory.is_dir():
        dataset = folder.build(options, seed)
    else:
        raise _unknown(options.dataset, archive)
    if options.num_classes is not None:
        dataset = dataset.first_classes(options.num_classes)
    if isinstance(options, MirroredDataOptions) and options.no_flip:
        return replace(dataset, flip=False)
    return dataset


def create(name: str, *, seed: int = SPLIT_SEED, **options: Any) -> ImageDataset:
    """Read a data set by name.

    Args:
        name: A registered name (`list` gives them), or that of the user's own data.
        seed: As for `from_options`.
        options: Fields of `MirroredDataOptions` other than ``dataset``: those that say what the data are.

    Raises:
        Exception: What `from_options` raises, and `OptionError` for a wrong option.
    """
    if "dataset" in options:
        raise OptionError("dataset: the name is create's first argument")
    return from_options(MirroredDataOptions(dataset=name, **options), seed)


def _not_a_folder(options: DataOptions) -> OptionError:
    path = options.directory
    name = f" -d {path.stem}" if path.suffix == ".npz" and path.stem != options.dataset else ""
    return OptionError(f"data_path: {path} is a file; give the folder that it lies in:{name} --data_path {path.parent}")


def _unknown(name: str, archive: Path) -> UnknownName:
    hint = nearest(name, DATASETS.list())
    return UnknownName(f"unknown data set {name!r}{hint}; neither {archive} nor class folders in {archive.parent}")
