"""What the tests of the networks share: the published facts and the fill that the reference logits were made with."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def published() -> dict:
    """Number of parameters, keys and shapes of each of the 20 networks, by canonical name."""
    with gzip.open(DATA / "checkpoints.json.gz", "rt") as file:
        return json.load(file)


@pytest.fixture(scope="session")
def reference_logits() -> dict[str, Tensor]:
    """What the filled networks compute, by ``classes/name``."""
    with np.load(DATA / "logits.npz") as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive.files}


@pytest.fixture(scope="session")
def reference_images() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((4, 3, 32, 32)))


@pytest.fixture(scope="session")
def fill() -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Numbers for each tensor of a state dict that depend on its key and shape alone."""

    def value(key: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
        if key.endswith("num_batches_tracked"):
            return np.zeros(shape, dtype=np.int64)
        if key.endswith("running_var"):
            return 1 + 0.1 * np.abs(noise)
        if key.endswith("running_mean"):
            return 0.1 * noise
        if len(shape) >= 2:
            return noise * np.sqrt(2 / np.prod(shape[1:]))
        return 0.1 * noise if key.endswith("bias") else 1 + 0.1 * noise

    return lambda state: {key: torch.as_tensor(value(key, tuple(tensor.shape))) for key, tensor in state.items()}
