"""Whether what gradients did not find is there all the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autovul.base.metrics import margins
from autovul.base.result import Result
from autovul.vision.attacks.base import device_of, require_logits, untouched
from autovul.vision.models.quick import quick

MISLEADING = (
    "with every pixel free to change, steps along its gradients fooled it on {} of {} images, where all are to be "
    "expected: they lead astray (rounding, detaching, noise), so that what they do not find is no robustness; --attack "
    "hop_skip_jump needs none"
)
FLAT = (
    "the gradient was 0 for {} of {} images, which so stayed as they were and count as robust: a loss that is flat, of "
    "large logits for instance, is no robustness"
)
NONE_NEAR = (
    "for {} of {} images no adversarial example was found at any distance, where all have one: gradients that lead "
    "nowhere are no robustness"
)
STEP, STEPS, IMAGES = 0.1, 20, 32
NEARLY_ALL = 0.95
LEAST_IMAGES = 16  # of fewer, one that happens to be stubborn is too many


def doubts_of_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> list[str]:
    """Whether following a network's gradients leads to errors at all.

    .. math:: x_{t+1} = \\operatorname{clip}_{[0, 1]} \\bigl(x_t - 0.1 \\operatorname{sign} \\nabla_x m(x_t)\\bigr),
              \\qquad m = z_y - \\max_{k \\ne y} z_k

    from up to 32 images that are classified right, in up to 20 steps, which may take them anywhere. The margin m of
    the logits is not flat where confidence saturates. That changes without bound do not fool a network on all images
    is a sign of masked gradients (Athalye, Carlini, Wagner, Obfuscated Gradients Give a False Sense of Security, 2018,
    section 3.1). Below 95 % it is said.

    Args:
        model: Takes pixels in [0, 1] and gives logits; left as it was.
        images: (N, C, H, W), in [0, 1].
        labels: (N,).
    """
    with untouched(model):
        asked, device = quick(model), device_of(model)
        x, y = images.to(device), labels.to(device)
        with torch.no_grad():
            right = (require_logits(asked(x)).argmax(1) == y).nonzero().squeeze(1)[:IMAGES]
        x, y, count = x[right], y[right], len(right)
        if count < LEAST_IMAGES:
            return []
        for step in range(STEPS + 1):
            x = x.detach().requires_grad_()
            margin = margins(require_logits(asked(x)), y)
            left = margin > 0
            if step == STEPS or not margin.requires_grad or not bool(left.any()):
                break
            (gradient,) = torch.autograd.grad(margin.sum(), x)
            x, y = (x.detach() - STEP * gradient.sign()).clamp(0, 1)[left], y[left]
    fooled = count - int(left.sum())
    return [MISLEADING.format(fooled, count)] if fooled < NEARLY_ALL * count else []


def doubts_of_search(result: Result) -> list[str]:
    """Whether many images of an attack that follows gradients were lost to it, by the counts of its record."""
    counts, images = result.counts, result.counts.get("images", 0)
    flat, missing = counts.get("zero_gradients", 0), counts.get("without_adversarial", 0)
    few = (1 - NEARLY_ALL) * images
    if missing > few:
        return [NONE_NEAR.format(missing, images)]
    return [FLAT.format(flat, images)] if flat > few else []
