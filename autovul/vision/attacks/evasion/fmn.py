"""The nearest adversarial example of each image: how far it is, whatever the radius."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import option
from autovul.base.result import Result
from autovul.vision.attacks.base import (
    Setup,
    device_of,
    registry,
    require_classes,
    require_differentiable,
    require_images,
    require_logits,
    require_model_and_data,
    untouched,
)
from autovul.vision.attacks.evasion.distances import Distances
from autovul.vision.attacks.evasion.image_attack import ImageAttack
from autovul.vision.attacks.evasion.norms import Norm, dual_lengths, lengths, unit, within
from autovul.vision.attacks.evasion.perturbation import Passes
from autovul.vision.attacks.record import record
from autovul.vision.models.quick import quick

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset

LAST_ALPHA, LAST_GAMMA = 0.01, 0.001  # what the length of a step (times fmn_alpha) and of a change of radius fall to


@dataclass
class Nearest:
    """The nearest adversarial examples found so far for a batch.

    Args:
        images: (N, C, H, W); the image itself where none was found.
        distances: (N,), in pixels of [0, 1]; infinity where none was found.
        iterations: (N,), steps after which it was reached; −1 where none was found.
        classes: (N,), what the model says of it.
        flat: (N,), whether the gradient was 0 at every step, so that nothing moved the image.
        broken: Whether some logit or gradient was not finite.
    """

    images: Tensor
    distances: Tensor
    iterations: Tensor
    classes: Tensor
    flat: Tensor
    broken: Tensor
    passes: Passes = field(default_factory=Passes)

    @classmethod
    def begin(cls, images: Tensor, classes: Tensor) -> Nearest:
        """Before anything was found."""
        distances = torch.full((len(images),), torch.inf, dtype=images.dtype, device=images.device)
        iterations = torch.full_like(distances, -1, dtype=torch.int64)
        flat = torch.ones_like(distances, dtype=torch.bool)
        return cls(images.clone(), distances, iterations, classes.clone(), flat, torch.zeros_like(flat).any())

    def keep(self, which: Tensor, images: Tensor, distances: Tensor, classes: Tensor, step: int) -> None:
        """Take over those of the images (N, C, H, W) that are marked."""
        self.images = torch.where(which[:, None, None, None], images, self.images)
        self.distances = torch.where(which, distances, self.distances)
        self.classes = torch.where(which, classes, self.classes)
        self.iterations = self.iterations.masked_fill(which, step)


@registry.register("fmn")
class FMN(ImageAttack):
    r"""Fast minimum-norm attack: the smallest perturbation after which the model errs.

    .. math:: \min_\delta \lVert\delta\rVert_p \quad\text{with}\quad L(x + \delta) < 0,\; x + \delta \in [0, 1]^d
              \qquad L = z_y - \max_{k \ne y} z_k \quad\text{or, with a target t,}\quad \max_{k \ne t} z_k - z_t

    z are the logits and y is the class to leave. Each step goes along −∇L, by an L2 length that falls from
    ``fmn_alpha`` to a hundredth of it, and onto the ball of radius ε around x. Where the image is adversarial, ε is
    multiplied by 1 − γ and is never larger than the smallest distance found; where it no longer is, by 1 + γ; where it
    never was, ε is where a linear model would err, ‖δ‖ + L / ‖∇L‖ with the dual norm, and 0.1 % more. γ falls from
    ``fmn_gamma`` to 0.001; both fall along a half cosine. The nearest adversarial image on the way is the result.

    There is no radius, number of steps or confidence by which a network could seem safe or lost; a distance is an
    upper bound, since there may be a nearer adversarial example than the search has found.

    Source: Pintor, Roli, Brendel, Biggio, Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints
    (NeurIPS 2021, arXiv 2102.12827), algorithm 1. The artifact has no such attack. Deviations: the last point is
    looked at as well; the 0.1 %, without which rounding can leave an image on the boundary for good; pixels at 0 or 1
    that −∇L would drive out of the range have no part in step and radius: the search could come to rest on them.
    """

    name: ClassVar[str] = "fmn"

    target_idx: int = option(
        0, "Rank of the target among the model's logits: 0 any other class than the image's, -1 least likely."
    )
    iteration: int = option(100, "Steps.", ge=1)
    norm: Norm = option("inf", "Norm in which distances are measured.")
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

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Find the distances of ``test_num`` correctly classified images of the 30 % split, in random order.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            dataset: Gives the images.
            setup: ``seed`` seeds the choice of images; with a ``folder``, ``examples.png`` there shows a few images
                before and after, and ``distances.png`` the share that is lost within each distance.

        Returns:
            ``median_distance`` and the quartiles, in 1/255 for L-infinity and in pixels of [0, 1] for L2; one that
            lies among the images without an adversarial example is not measured. ``series`` has, for each percentage
            of the images, the distance within which so many have an adversarial example.

        Raises:
            UserError: Fewer such images exist than were explicitly asked for, or none; or every gradient is 0.
        """
        require_model_and_data(model, dataset)
        device = device_of(model)
        found = Distances(self.norm)
        with environ.measure(device) as cost:
            attacked = quick(model)
            images, labels, logits, asked = self.correctly_classified(attacked, dataset, setup)

            def attack_batch(*batch: Tensor) -> None:
                pixels, true, clean = (tensor.to(device) for tensor in batch)
                found.add(pixels, true, self._nearest(attacked, pixels, self.choose_target(clean)))

            self.batch_by_batch(attack_batch, (images, labels, logits), device, setup)
        if found.nothing_moved:
            raise UserError(
                f"the gradient is 0 for all {len(images)} images, so that none was moved, which says nothing of how "
                "robust the model is: --attack pgd --grad_method nes estimates gradients from queries"
            )
        files = {} if setup.folder is None else found.draw(setup.folder, dataset.class_names)
        return record(
            self,
            model,
            dataset,
            setup,
            metrics=found.metrics(),
            series=found.curve(),
            counts={**found.counts(), "selection": asked},
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            files=files,
        )

    def _nearest(self, model: nn.Module, images: Tensor, target: Tensor) -> Nearest:
        require_classes(target, len(require_images(images)), "target")
        if not len(images):
            return Nearest.begin(images, target)
        with untouched(model):
            # Made outside of inference_mode, if that is on: autograd takes no others.
            nearest = self._search(model, images.detach().clone(), target)
        if bool(nearest.broken):
            raise NonFiniteOutput("the model's gradients or logits are not finite: the network has diverged")
        return nearest

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
            (gradient,) = torch.autograd.grad(require_differentiable(loss, "fmn follows gradients").sum(), images)
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
        own = logits.gather(1, target[:, None]).squeeze(1)
        others = logits.scatter(1, target[:, None], -torch.inf).amax(1)
        return own - others if self.untargeted else others - own
