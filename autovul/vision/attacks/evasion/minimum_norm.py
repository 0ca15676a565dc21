"""The nearest adversarial example of each image, whoever searches for it: what a search gives, and what is measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    require_classes,
    require_images,
    require_model_and_data,
    untouched,
)
from autovul.vision.attacks.evasion.distances import Distances
from autovul.vision.attacks.evasion.image_attack import WITHOUT_GRADIENT, ImageAttack
from autovul.vision.attacks.evasion.norms import Norm
from autovul.vision.attacks.evasion.perturbation import Passes
from autovul.vision.attacks.record import record
from autovul.vision.models.quick import quick

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset


@dataclass
class Nearest:
    """The nearest adversarial examples found so far for a batch.

    Args:
        images: (N, C, H, W); the image itself where none was found.
        distances: (N,), in pixels of [0, 1]; infinity where none was found.
        iterations: (N,), steps after which it was reached, or queries that were made; −1 where none was found.
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


class MinimumNorm(ImageAttack):
    """An attack that looks for the smallest change of an image after which the model errs; `_search` is the algorithm.

    There is no radius, number of steps or confidence by which a network could seem safe or lost; a distance is an
    upper bound, since there may be a nearer adversarial example than the search has found.
    """

    target_idx: int = option(
        0, "Rank of the target among the model's logits: 0 any other class than the image's, -1 least likely."
    )
    norm: Norm = option("inf", "Norm in which distances are measured.")

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
            of the images, the distance within which so many have an adversarial example. ``mean_queries`` where
            the search asks for answers alone.

        Raises:
            UserError: Fewer such images exist than were explicitly asked for, or none; or every gradient is 0.
        """
        require_model_and_data(model, dataset)
        device = device_of(model)
        found = Distances(self.norm)
        with environ.measure(device) as cost:
            attacked = quick(model)
            images, labels, logits, asked = self.correctly_classified(attacked, dataset, setup)
            places = torch.arange(len(images))

            def attack_batch(*batch: Tensor) -> None:
                pixels, true, clean = (tensor.to(device) for tensor in batch[:3])
                target = self.choose_target(clean)
                begin = self._begin(batch[3], target.cpu(), images, labels, setup.seed)
                found.add(pixels, true, self._nearest(attacked, pixels, target, **begin))

            self.batch_by_batch(attack_batch, (images, labels, logits, places), device, setup)
        if found.nothing_moved:
            raise UserError(
                f"the gradient is 0 for all {len(images)} images, so that none was moved, which says nothing of how "
                f"robust the model is: {WITHOUT_GRADIENT}"
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

    def _begin(self, places: Tensor, target: Tensor, images: Tensor, labels: Tensor, seed: int) -> Mapping[str, Any]:
        """What `_search` is given beside a batch.

        Args:
            places: (n,), those of the batch among all images.
            target: (n,), on the CPU.
            images, labels: All that are attacked, on the CPU.
            seed: Of the run.
        """
        return {}

    def _nearest(self, model: nn.Module, images: Tensor, target: Tensor, **begin: Any) -> Nearest:
        require_classes(target, len(require_images(images)), "target")
        if not len(images):
            return Nearest.begin(images, target)
        with untouched(model):
            # Made outside of inference_mode, if that is on: autograd takes no others.
            nearest = self._search(model, images.detach().clone(), target, **begin)
        if bool(nearest.broken):
            raise NonFiniteOutput("the model's gradients or logits are not finite: the network has diverged")
        return nearest

    @abstractmethod
    def _search(self, model: nn.Module, clean: Tensor, target: Tensor) -> Nearest:
        """The algorithm: model and images are checked and the model needs no restoring."""
