"""Looking at a module by running it, without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def probing(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each submodule's mode, all buffers and the random generators are as they were."""
    modes = {module: module.training for module in model.modules()}
    buffers = {buffer: buffer.detach().clone() for buffer in model.buffers()}
    devices = {tensor.device for tensor in model.parameters() if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=[*devices]):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            with torch.no_grad():
                for buffer, value in buffers.items():
                    buffer.copy_(value)


def grey_images(model: nn.Module, data_shape: Sequence[int], count: int) -> torch.Tensor:
    """``count`` images of pixel value 0.5, of the model's type and on its device."""
    like = next(model.parameters(), torch.empty(0))
    return torch.full((count, *data_shape), 0.5, dtype=like.dtype, device=like.device)
