"""Figures of merit as pure functions of logits and labels; none of them accepts a diverged model's output."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autovul.base.errors import UserError


class NonFiniteOutput(UserError, ValueError):
    """A network gave NaN or an infinity, from which no rate may be computed."""


def require_finite(logits: Tensor, what: str = "the model's logits") -> Tensor:
    """Return ``logits`` unchanged if all are finite.

    The argmax of a row of NaN is 0: a diverged network would seem to have a 100 % success rate for class 0.

    Raises:
        NonFiniteOutput: Some are not; the message says how many rows.
    """
    finite = torch.isfinite(logits).flatten(1).all(1)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise NonFiniteOutput(f"{what} are not finite for {bad} of {len(logits)} images: the network has diverged")
    return logits


def accuracy(logits: Tensor, labels: Tensor, top: int = 1) -> float:
    """The share of images, in percent, whose label is among the ``top`` largest logits.

    Args:
        logits: (N, classes).
        labels: (N,), class indices.
        top: From 1 to the number of classes.
    """
    require_finite(logits)
    if not 1 <= top <= logits.shape[1]:
        raise ValueError(f"top must be from 1 to {logits.shape[1]}, got {top}")
    best = logits.topk(top, dim=1).indices
    return 100.0 * (best == labels[:, None]).any(1).double().mean().item()


def cross_entropy(p_logits: Tensor, q_logits: Tensor) -> float:
    """The mean over the batch of −Σ softmax(p) · log softmax(q), in nats.

    Args:
        p_logits: (N, classes), the reference (in model extraction, the victim).
        q_logits: (N, classes), the approximation (the stolen model).
    """
    if p_logits.shape != q_logits.shape:
        raise ValueError(f"shapes differ: {tuple(p_logits.shape)} and {tuple(q_logits.shape)}")
    require_finite(p_logits)
    require_finite(q_logits)
    return functional.cross_entropy(q_logits.double(), p_logits.double().softmax(1)).item()


def agreement(p_logits: Tensor, q_logits: Tensor) -> float:
    """The share of images, in percent, for which both give the same class."""
    require_finite(p_logits)
    return accuracy(q_logits, p_logits.argmax(1))
