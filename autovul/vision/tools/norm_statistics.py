"""Estimating what batch norms have never seen: the statistics of an untrained network's activations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autovul.base.training.evaluation import evaluation_mode
from autovul.base.training.precision import without_tf32


def estimate_norm_statistics(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every batch norm by the mean over batches of the batch's own.

    An untrained network in eval mode normalises with mean 0 and variance 1, which nothing has estimated. Here each
    batch is normalised by its own statistics on its way through, as in training, and everything else (dropout) stays in
    eval mode. The modes are afterwards as before.

    Args:
        model: Changed in place: its batch norms' buffers.
        batches: Images (N, C, H, W), several a batch.

    Returns:
        How many batch norms there are; where there is none, nothing is computed.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return 0
    momenta = [norm.momentum for norm in norms]
    try:
        with evaluation_mode(model), torch.no_grad(), without_tf32():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # PyTorch's way to say: the plain mean over all batches
                norm.train()
            for images in batches:
                model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return len(norms)
