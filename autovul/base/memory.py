"""What to do where memory ends: less at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from autovul.base.errors import UserError

Result = TypeVar("Result")
# cuDNN finds no engine where none has room for its workspace; CUDA's libraries have an ALLOC_FAILED each.
SIGNS = (
    *("DefaultCPUAllocator", "out of memory", "unable to find an engine to execute this computation"),
    *("_STATUS_ALLOC_FAILED", "_ALLOCATION_FAILED"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def halved(count: int, error: BaseException, device: torch.device) -> int:
    """Half of ``count``, rounded up, where memory ended with so many samples at once.

    To be called while the error is handled; what failed is tried again after that, because until then the error keeps
    its tensors alive.

    Raises:
        UserError: It was a single one.
        BaseException: The error itself, if it is another one.
    """
    if not is_out_of_memory(error):
        raise error
    if count <= 1:
        raise UserError(f"out of memory on {device} with a single image") from error
    return -(-count // 2)


def in_parts(
    function: Callable[..., Result], rows: Sequence[Tensor], size: int, device: torch.device
) -> Iterator[Result]:
    """What ``function`` gives for one slice of the rows after the other; where memory ends, slices are halved for good.

    Args:
        function: Takes a slice of each tensor; it may be called again for a part of what it failed for.
        rows: Tensors of the same length.
        size: Rows of a slice at the beginning.
        device: Where memory may end.

    Raises:
        UserError: Memory does not suffice for a single row.
    """
    start = 0
    while start < len(rows[0]):
        part = [tensor[start : start + size] for tensor in rows]
        try:
            result = function(*part)
        except (RuntimeError, MemoryError) as error:
            size = halved(len(part[0]), error, device)
            failed = True
        else:
            failed = False
        if failed:
            give_back_reserve(device)
            continue
        start += len(part[0])
        yield result
        del result  # before the next one is there


def give_back_reserve(device: torch.device) -> None:
    """Let go of memory that a device keeps for later: freed blocks are too small for what failed, or in pieces."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
