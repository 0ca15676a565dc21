"""Looking at a module by running it, without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from autovul.base.training.evaluation import evaluation_mode


@contextmanager
def probing(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each submodule's mode, all buffers and the random generators are as they were."""
    # A forward pass may write into a buffer, or put another tensor in its place.
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.device.type == "cuda"}
    try:
        with evaluation_mode(model), torch.random.fork_rng(devices=[*devices]):  # a model may draw at inference
            yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, content in buffers:
                owner._buffers[name] = buffer.copy_(content)


def grey_images(model: nn.Module, data_shape: Sequence[int], count: int) -> torch.Tensor:
    """``count`` images of pixel value 0.5, of the model's type and on its device."""
    like = next(model.parameters(), torch.empty(0))
    return torch.full((count, *data_shape), 0.5, dtype=like.dtype, device=like.device)
