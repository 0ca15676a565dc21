"""Where memory ends, the same comes in smaller parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autovul.base.errors import UserError
from autovul.base.memory import in_parts, is_out_of_memory
from autovul.vision import attacks
from autovul.vision.tools import gradient_variance, loss_contour

CPU = torch.device("cpu")


class Limited(torch.nn.Module):
    """A network that cannot take more than some images at once."""

    def __init__(self, limit: int, error: Exception | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
        self.limit, self.error = limit, error or torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            raise self.error
        self.sizes.append(len(x))
        return self.net(x)


def test_every_row_comes_once_and_in_order_whatever_fails() -> None:
    rows, seen = torch.arange(11), []

    def take(part: Tensor, other: Tensor) -> int:
        assert torch.equal(part + 1, other)
        if len(part) > 3:
            raise MemoryError
        seen.extend(part.tolist())
        return len(part)

    assert list(in_parts(take, (rows, rows + 1), 10, CPU)) == [3, 3, 3, 2]
    assert seen == rows.tolist()


def test_a_single_row_that_does_not_fit_and_other_errors() -> None:
    with pytest.raises(UserError, match="out of memory on cpu with a single image"):
        list(in_parts(Limited(0), (torch.rand(4, 1, 4, 4),), 4, CPU))
    with pytest.raises(RuntimeError, match="mat1"):
        list(in_parts(Limited(1, RuntimeError("mat1 and mat2")), (torch.rand(4, 1, 4, 4),), 4, CPU))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "says",
    [
        "CUDA error: out of memory",
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory",
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
    ],
)
def test_what_says_that_memory_ended(says: str) -> None:
    assert is_out_of_memory(RuntimeError(says))
    model, images = Limited(2, RuntimeError(says)), torch.rand(5, 1, 4, 4)
    assert sum(map(len, in_parts(model, (images,), 4, CPU))) == 5


@pytest.mark.parametrize("says", ["cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", "CUBLAS_STATUS_EXECUTION_FAILED"])
def test_what_says_something_else(says: str) -> None:
    assert not is_out_of_memory(RuntimeError(says))


def images_and_labels() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(9, 1, 4, 4, generator=generator), torch.arange(9) % 3


def test_gradient_variance_with_less_memory() -> None:
    images, labels = images_and_labels()
    whole = gradient_variance(Limited(99), images, labels, method="layers")
    counts: list[int] = []
    model = Limited(2)
    parts = gradient_variance(model, images, labels, method="layers", advance=counts.append)
    assert max(model.sizes) == 2 and counts == [2, 2, 2, 2, 1]
    assert parts.total == pytest.approx(whole.total, rel=1e-5)


@pytest.mark.parametrize("space", ["parameter", "input"])
def test_a_contour_with_less_memory(space: str) -> None:
    images, labels = images_and_labels()
    grid = {"alphas": (-0.1, 0.0, 0.1), "betas": (0.0, 0.2), "space": space}
    if space == "input":
        grid["batch_size"] = 9
    whole, parts = (loss_contour(Limited(limit), images, labels, **grid) for limit in (99, 4))
    torch.testing.assert_close(parts.loss, whole.loss)


@pytest.mark.parametrize("method", ["white", "nes"])
def test_an_attack_with_less_memory(method: str) -> None:
    """Queries of a black box are halved within a step, the batch of a white box as a whole."""
    images, labels = images_and_labels()
    attack = attacks.create("pgd", grad_method=method, iteration=2, query_num=4, stop_threshold=None)
    whole, few = Limited(99), Limited(4)
    found = attack._attack(whole, images, labels, torch.Generator().manual_seed(0))
    if method == "white":
        with pytest.raises(torch.OutOfMemoryError):
            attack._attack(few, images, labels, torch.Generator().manual_seed(0))
        return
    parts = attack._attack(few, images, labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(parts.images, found.images)
    assert parts.passes == found.passes and max(few.sizes) == 4
