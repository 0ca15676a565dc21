"""The nearest adversarial example of each image by its gradients: how far it is, whatever the radius."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from autovul.base.metrics import margins
from autovul.base.options import option
from autovul.vision.attacks.base import registry, require_differentiable, require_logits
from autovul.vision.attacks.evasion.image_attack import WITHOUT_GRADIENT
from autovul.vision.attacks.evasion.minimum_norm import MinimumNorm, Nearest
from autovul.vision.attacks.evasion.norms import dual_lengths, lengths, unit, within

LAST_ALPHA, LAST_GAMMA = 0.01, 0.001  # what the length of a step (times fmn_alpha) and of a change of radius fall to


@registry.register("fmn")
class FMN(MinimumNorm):
    r"""Fast minimum-norm attack: the smallest perturbation after which the model errs.

    .. math:: \min_\delta \lVert\delta\rVert_p \quad\text{with}\quad L(x + \delta) < 0,\; x + \delta \in [0, 1]^d
              \qquad L = z_y - \max_{k \ne y} z_k \quad\text{or, with a target t,}\quad \max_{k \ne t} z_k - z_t

    z are the logits and y is the class to leave. Each step goes along −∇L, by an L2 length that falls from
    ``fmn_alpha`` to a hundredth of it, and onto the ball of radius ε around x. Where the image is adversarial, ε is
    multiplied by 1 − γ and is never larger than the smallest distance found; where it no longer is, by 1 + γ; where it
    never was, ε is where a linear model would err, ‖δ‖ + L / ‖∇L‖ with the dual norm, and 0.1 % more. γ falls from
    ``fmn_gamma`` to 0.001; both fall along a half cosine. The nearest adversarial image on the way is the result.

    Source: Pintor, Roli, Brendel, Biggio, Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints
    (NeurIPS 2021, arXiv 2102.12827), algorithm 1. The artifact has no such attack. Deviations: the last point is
    looked at as well; the 0.1 %, without which rounding can leave an image on the boundary for good; pixels at 0 or 1
    that −∇L would drive out of the range have no part in step and radius: the search could come to rest on them.
    """

    name: ClassVar[str] = "fmn"

    iteration: int = option(100, "Steps.", ge=1)
    fmn_alpha: float = option(1.0, "L2 length of the first step; it falls to a hundredth.", gt=0, unit="pixels")
    fmn_gamma: float = option(0.05, "Relative change of the radius in the first step; it falls to 0.001.", gt=0, lt=1)

    def perturb(self, model: nn.Module, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Look for the nearest adversarial examples; the model is left exactly as it was.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            images: (N, C, H, W), floating point, in [0, 1].
            target: (N,), the class to reach; for an untargeted attack the class to leave.

        Returns:
            The nearest adversarial image of each, or itself where none was found; and the steps after which it was
            reached (−1: none).

        Raises:
            ValueError: ``images`` or ``target`` are not as above.
            NonFiniteOutput: The model gave NaN.
        """
        nearest = self._nearest(model, images, target)
        return nearest.images, nearest.iterations

    def _search(self, model: nn.Module, clean: Tensor, target: Tensor) -> Nearest:
        best, images = Nearest.begin(clean, target), clean
        radius = torch.full_like(best.distances, torch.inf)
        for step in range(self.iteration + 1):
            images = images.detach().requires_grad_()
            logits = require_logits(model(images))
            if step == 0 and int(target.max()) >= logits.shape[1]:
                raise ValueError(f"target must be from 0 to {logits.shape[1] - 1}, got {int(target.max())}")
            loss = self._loss(logits, target)
            distance = lengths(images.detach() - clean, self.norm)
            adversarial = loss.detach() < 0
            best.keep(adversarial & (distance < best.distances), images.detach(), distance, logits.argmax(1), step)
            best.passes.forward += len(images)
            best.broken |= ~loss.isfinite().all()
            if step == self.iteration:
                return best
            (gradient,) = torch.autograd.grad(
                require_differentiable(loss, f"fmn follows gradients; {WITHOUT_GRADIENT}").sum(), images
            )
            best.passes.backward += len(images)
            best.flat &= ~gradient.flatten(1).any(1)
            best.broken |= ~gradient.isfinite().all()
            x = images.detach()
            gradient = gradient.masked_fill(((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0)), 0)
            share = (1 + math.cos(math.pi * step / self.iteration)) / 2
            gamma = LAST_GAMMA + (self.fmn_gamma - LAST_GAMMA) * share
            alpha = self.fmn_alpha * (LAST_ALPHA + (1 - LAST_ALPHA) * share)
            ahead = loss.detach() / dual_lengths(gradient, self.norm).clamp_min(torch.finfo(loss.dtype).tiny)
            beyond = (distance + ahead) * (1 + LAST_GAMMA)
            outside = torch.where(best.distances.isinf(), beyond, radius * (1 + gamma))
            radius = torch.where(adversarial, torch.minimum(radius * (1 - gamma), best.distances), outside)
            moved = x - alpha * unit(gradient) - clean
            images = (clean + within(moved, radius, self.norm)).clamp(0.0, 1.0)
        raise AssertionError("the last look ends the search")

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N,), below 0 where the image is adversarial."""
        margin = margins(logits, target)
        return margin if self.untargeted else -margin
