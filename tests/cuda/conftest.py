"""Where the suite for real CUDA devices runs: `device`, and what every test leaves as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from tests.cuda.small import ON, VARIABLE
from tests.vision.attacks import patches


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The CUDA device; the CPU where the variable asks for it, to try the tests themselves."""
    if ON == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch sees no CUDA device here; {VARIABLE}=cpu tries the tests' own code on the CPU")
    # cuBLAS reads this when it starts, and tests of determinism in this process come after others.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # With the index, as tensors have it.
    return torch.empty(0, device=ON).device


@pytest.fixture(autouse=True)
def _settings_stay_here() -> Iterator[None]:
    """What PyTorch sets by default, TF32 in convolutions included, before and after each test."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = True
    yield
    cudnn.allow_tf32 = before
    torch.use_deterministic_algorithms(False)
    if torch.cuda.is_initialized():
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.empty_cache()


@pytest.fixture(scope="session")
def dataset():
    """Three classes of 8 × 8 pixels that a small network learns at once."""
    return patches.make_dataset()


@pytest.fixture(scope="session")
def trained(dataset):
    """A small network that knows them; on the CPU."""
    return patches.make_trained(dataset)
