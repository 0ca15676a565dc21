"""Lengths of perturbations, and balls around an image."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor


def _by_name(value: Any) -> Any:
    if value == math.inf:
        return "inf"
    return "2" if value == 2 else value


Norm = Annotated[Literal["inf", "2"], BeforeValidator(_by_name)]
"""By name; from Python 2 and `math.inf` will do."""


def lengths(batch: Tensor, norm: Norm) -> Tensor:
    """The length (N,) of each image's tensor of a batch (N, …)."""
    rows = batch.flatten(1)
    return rows.abs().amax(1) if norm == "inf" else torch.linalg.vector_norm(rows, dim=1)


def dual_lengths(batch: Tensor, norm: Norm) -> Tensor:
    """The same in the dual norm: L1 for L-infinity, L2 for L2."""
    rows = batch.flatten(1)
    return rows.abs().sum(1) if norm == "inf" else torch.linalg.vector_norm(rows, dim=1)


def within(batch: Tensor, radius: float | Tensor, norm: Norm) -> Tensor:
    """Each image's tensor of a batch (N, C, H, W) projected onto the ball around 0.

    Args:
        batch: What is projected.
        radius: One for all, or (N,).
        norm: Of the ball.
    """
    limit: Any = radius[:, None, None, None] if isinstance(radius, Tensor) else radius
    if norm == "inf":
        return batch.clamp(-limit, limit)
    return batch * (limit / lengths(batch, norm)[:, None, None, None].clamp_min(1e-30)).clamp_max(1.0)


def unit(batch: Tensor) -> Tensor:
    """Each image's tensor (N, C, H, W) at L2 length 1, or 0; scaled first: squares of small numbers are 0."""
    largest = batch.abs().amax((1, 2, 3), keepdim=True)
    scaled = batch / largest.clamp_min(torch.finfo(batch.dtype).tiny)
    return scaled / lengths(scaled, "2")[:, None, None, None].clamp_min(1.0)
