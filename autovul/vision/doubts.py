"""What makes the figures of a network of one's own doubtful, found by asking it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autovul.vision.attacks.base import untouched

RANDOM = (
    "two passes over the same images gave different logits: the network draws at random in eval mode, so that every "
    "figure holds its chance, and boundary distances mean nothing"
)
PROBABILITIES = (
    "it gives probabilities, not logits (rows of at least 0 that sum to 1): leave the softmax out of forward, else "
    "losses, confidences and stop conditions are wrong"
)


def doubts(model: nn.Module, images: Tensor) -> list[str]:
    """Reasons to doubt what is measured on a model; none where it gives the same finite logits each time.

    Args:
        model: Left as it was.
        images: (N, C, H, W), in [0, 1], on the model's device; a few are enough.
    """
    with untouched(model), torch.no_grad():
        first, second = model(images).float(), model(images).float()
    if not bool(first.isfinite().all()):
        return []
    found = []
    # A GPU may add up in another order each time.
    if bool((first - second).abs().amax() > 1e-3 * first.abs().amax()):
        found.append(RANDOM)
    if bool((first >= 0).all()) and bool(((first.sum(1) - 1).abs() < 1e-3).all()):
        found.append(PROBABILITIES)
    return found
