"""Figures of merit as pure functions of logits and labels; none of them accepts a diverged model's output."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from autovul.base.errors import UserError


class NonFiniteOutput(UserError, ValueError):
    """A network gave NaN or an infinity, from which no rate may be computed."""


def require_finite(logits: Tensor) -> Tensor:
    """Return ``logits`` unchanged if all are finite.

    The argmax of a row of NaN is 0: a diverged network would seem to have a 100 % success rate for class 0.

    Raises:
        NonFiniteOutput: Some are not; the message says how many rows.
    """
    finite = torch.isfinite(logits).flatten(1).all(1)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise NonFiniteOutput(
            f"the model's logits are not finite for {bad} of {len(logits)} images: the network has diverged"
        )
    return logits


def accuracy(logits: Tensor, labels: Tensor, top: int = 1) -> float:
    """The share of images, in percent, whose label is among the ``top`` largest logits.

    Args:
        logits: (N, classes).
        labels: (N,), class indices.
        top: From 1 to the number of classes.
    """
    if logits.ndim != 2 or not len(logits) or labels.shape != logits.shape[:1]:
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"logits must be (N, classes) and labels (N,) with N of at least 1, got {shapes}")
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
    _require_alike(p_logits, q_logits)
    return functional.cross_entropy(q_logits.double(), p_logits.double().softmax(1)).item()


def margins(logits: Tensor, classes: Tensor) -> Tensor:
    """Of each row (N, K), the logit of its class (N,) less the largest other one: above 0 where the class is on top."""
    own = logits.gather(1, classes[:, None]).squeeze(1)
    return own - logits.scatter(1, classes[:, None], -torch.inf).amax(1)


def agreement(p_logits: Tensor, q_logits: Tensor) -> float:
    """The share of images, in percent, for which both give the same class."""
    _require_alike(p_logits, q_logits)
    return accuracy(q_logits, p_logits.argmax(1))


def _require_alike(p_logits: Tensor, q_logits: Tensor) -> None:
    if p_logits.shape != q_logits.shape or p_logits.ndim != 2 or not len(p_logits):
        shapes = f"{tuple(p_logits.shape)} and {tuple(q_logits.shape)}"
        raise ValueError(f"logits must be (N, classes) with N of at least 1, both alike, got {shapes}")
    require_finite(p_logits)
    require_finite(q_logits)


def auc(positive: Tensor, negative: Tensor) -> float:
    """The area under the ROC curve: P(positive > negative) + ½ P(positive = negative) for a random pair of scores.

    Args:
        positive: (P,), scores of the positive class; at least one, finite.
        negative: (N,), scores of the other.

    Returns:
        From 0 to 1; ½ where the scores say nothing.

    Raises:
        ValueError: A side is empty, or a score is not finite.
    """
    return _areas(*_checked_scores(positive, negative)).item()


def auc_interval(
    positive: Tensor, negative: Tensor, *, level: float = 0.95, draws: int = 2000, seed: int = 1228
) -> tuple[float, float]:
    """The percentile bootstrap interval of `auc`: both sides are drawn anew with replacement, each by itself.

    Where the two sides are fully separated every draw is too, and the interval has no width.

    Args:
        positive, negative: As for `auc`.
        level: The confidence level, between 0 and 1.
        draws: How many times scores are drawn.
        seed: Of the draws.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    positive, negative = _checked_scores(positive, negative)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    generator = torch.Generator().manual_seed(seed)
    together = max(1, 2**20 // max(len(positive), len(negative)))  # draws in memory at one time
    areas = []
    for first in range(0, draws, together):
        count = min(together, draws - first)
        sides = (s[torch.randint(len(s), (count, len(s)), generator=generator)] for s in (positive, negative))
        areas.append(_areas(*sides))
    low, high = (
        torch.cat(areas).quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    )
    return low, high


def _areas(positive: Tensor, negative: Tensor) -> Tensor:
    """`auc` of scores along the last dimension."""
    ordered = negative.sort(dim=-1).values
    below = torch.searchsorted(ordered, positive, right=False)
    not_above = torch.searchsorted(ordered, positive, right=True)
    return (below + not_above).double().mean(-1) / (2 * negative.shape[-1])


def roc(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """The ROC curve: the rates of false and of true positives for each threshold, from "none" to "all".

    Args:
        positive, negative: As for `auc`.

    Returns:
        Two tensors (K,) in [0, 1] that begin with 0 and end with 1; equal scores make one step.
    """
    positive, negative = _checked_scores(positive, negative)
    thresholds = torch.cat([positive, negative]).unique().flip(0)
    rates = [1 - torch.searchsorted(side.sort().values, thresholds) / len(side) for side in (negative, positive)]
    start = torch.zeros(1, dtype=torch.float64)
    return torch.cat([start, rates[0].double()]), torch.cat([start, rates[1].double()])


def tpr_at_fpr(positive: Tensor, negative: Tensor, fpr: float = 0.01) -> float | None:
    """The share of positives, in percent, above the lowest threshold that at most ``fpr`` of the negatives exceed.

    Args:
        positive, negative: As for `auc`.
        fpr: Above 0, below 1.

    Returns:
        The rate; None where there are fewer than 1 / ``fpr`` negatives, with which no such rate can be told from 0.

    Source: Carlini et al., Membership Inference Attacks From First Principles (arXiv 2112.03570), section 4.
    """
    positive, negative = _checked_scores(positive, negative)
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must be between 0 and 1, got {fpr}")
    allowed = math.floor(len(negative) * fpr + 1e-9)
    if allowed < 1:
        return None
    threshold = negative.sort(descending=True).values[allowed]
    return 100.0 * (positive > threshold).double().mean().item()


def _checked_scores(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    for name, scores in (("positive", positive), ("negative", negative)):
        if scores.ndim != 1 or not len(scores):
            raise ValueError(f"{name} must be a list of at least one score, got shape {tuple(scores.shape)}")
        if not bool(torch.isfinite(scores).all()):
            raise ValueError(f"{name} scores must be finite")
    return positive.detach().cpu().double(), negative.detach().cpu().double()
