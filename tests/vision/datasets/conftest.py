from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autovul.vision.datasets import ImageDataset, create


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """What a whole .npz of three classes holds: 12 training and 6 validation images of 6 x 5 pixels."""
    random = np.random.RandomState(0)
    return {
        "x_train": random.randint(0, 256, (12, 6, 5, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": random.randint(0, 256, (6, 6, 5, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }


@pytest.fixture
def read_npz(tmp_path: Path) -> Callable[..., ImageDataset]:
    """Write arrays where a data set of some name is looked for, and create it."""

    def write_and_create(arrays: dict[str, np.ndarray], name: str = "mine", **options: object) -> ImageDataset:
        directory = tmp_path / "image" / name
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / f"{name}.npz", **arrays)
        return create(name, data_dir=str(tmp_path), **options)

    return write_and_create


@pytest.fixture(scope="session")
def digits() -> ImageDataset:
    return create("digits")


class MakesFile:
    """Unpickled by anything but a careful reader, it makes a file: code from a data file has run."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[object, Path]:
    """An object whose pickle makes a file when it is read, and that file."""
    trace = tmp_path / "code_ran"
    return MakesFile(trace), trace
