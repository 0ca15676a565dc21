"""The protocol of adversarial examples: which images, which target, when it stops, what counts as success."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

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
    require_logits,
    require_model_and_data,
    untouched,
)
from autovul.vision.attacks.evasion.image_attack import WITHOUT_GRADIENT, ImageAttack
from autovul.vision.attacks.evasion.perturbation import Perturbation
from autovul.vision.attacks.evasion.tally import Tally
from autovul.vision.attacks.record import record
from autovul.vision.models.quick import quick

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset


class EvasionAttack(ImageAttack):
    """An attack that changes an image so that the model errs.

    The stop condition of a targeted attack: the target's confidence exceeds ``stop_threshold`` and, with
    ``require_class``, the target is the top class. Of an untargeted one: the original class's confidence does not
    exceed it and another class is the top one. It is checked before each step and once more after the last, and is
    what the artifact counts as success.
    """

    iteration: int = option(7, "Steps at the most.", ge=0)
    stop_threshold: float | None = option(
        0.99, "Confidence at which an image counts as done; none: take every step and check nothing.", ge=0, le=1
    )
    require_class: bool = option(False, "An image is done only if the target is also its top class.")

    @property
    def most_steps(self) -> int:
        """Steps that an image takes at the most."""
        return self.iteration

    def without_gradient(self) -> str:
        """What to try where gradients are 0."""
        return WITHOUT_GRADIENT

    def notes(self) -> list[str]:
        """What is to be known of its figures."""
        return []

    def require_meant(self) -> None:
        """Refuse options that nobody can mean.

        Raises:
            OptionError: There is one.
        """

    @abstractmethod
    def _perturb(self, model: nn.Module, images: Tensor, target: Tensor, generator: torch.Generator) -> Perturbation:
        """The algorithm: model and images are checked and the model needs no restoring."""

    def perturb(self, model: nn.Module, images: Tensor, target: Tensor, *, seed: int = 1228) -> tuple[Tensor, Tensor]:
        """Make adversarial images; the model is left exactly as it was.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            images: (N, C, H, W), floating point, in [0, 1].
            target: (N,), the class to reach; for an untargeted attack the class to leave.
            seed: Seeds random starts and estimated gradients.

        Returns:
            The adversarial images, and for each the steps taken until the stop condition held (−1: never; always −1
            with ``stop_threshold=None``).

        Raises:
            ValueError: ``images`` or ``target`` are not as above.
            NonFiniteOutput: The model gave NaN.
        """
        outcome = self._attack(model, images, target, torch.Generator(require_images(images).device).manual_seed(seed))
        return outcome.images, outcome.iterations

    def _attack(self, model: nn.Module, images: Tensor, target: Tensor, generator: torch.Generator) -> Perturbation:
        self.require_meant()
        require_classes(target, len(images), "target")
        if not len(images):
            return Perturbation.begin(images, self.iteration)
        images = images.detach()
        with untouched(model):
            # Made outside of inference_mode, if that is on: autograd takes no others.
            outcome = self._perturb(model, images.clone(), target, generator)
            if not bool(((outcome.images >= 0) & (outcome.images <= 1)).all() | outcome.broken):
                raise ValueError(f"{self.name} made pixels outside of [0, 1]")
            if outcome.logits is None and self.stop_threshold is not None:
                self._judge_end(model, outcome, target)
        if bool(outcome.broken):
            raise NonFiniteOutput("the model's gradients or logits are not finite: the network has diverged")
        return outcome

    @torch.no_grad()
    def _judge_end(self, model: nn.Module, outcome: Perturbation, target: Tensor) -> None:
        """The final logits of an attack that did not ask for them, and who meets the stop condition in the end."""
        logits = require_logits(model(outcome.images))
        outcome.passes.forward += len(logits)
        everyone = torch.arange(len(logits), device=logits.device)
        outcome.record(everyone, logits)
        if self.stop_threshold is not None:
            late = self._met(logits, target) & (outcome.iterations < 0)
            outcome.iterations[late] = outcome.tried

    def _met(self, logits: Tensor, target: Tensor) -> Tensor:
        assert self.stop_threshold is not None
        confidence = logits.softmax(1).gather(1, target[:, None]).squeeze(1)
        top = logits.argmax(1) == target
        if self.untargeted:
            return (confidence <= self.stop_threshold) & ~top
        return (confidence > self.stop_threshold) & (top | (not self.require_class))

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Attack ``test_num`` correctly classified images of the 30 % split, in random order.

        Args:
            model: Takes pixels in [0, 1] and gives logits.
            dataset: Gives the images.
            setup: ``seed`` seeds the order of the images and the attack's own randomness; with a ``folder``,
                ``examples.png`` there shows a few images before and after.

        Returns:
            Rates in percent. ``success_rate`` is the artifact's: the stop condition was met. ``targeted_success_rate``
            (targeted attacks) and ``misclassification_rate`` are the plain ones, from the final logits. Mean
            iterations count a failure as twice `most_steps`. Confidences are means in percent.

        Raises:
            UserError: Fewer such images exist than were explicitly asked for, or none; or every gradient is 0.
            OptionError: The options cannot be meant.
        """
        require_model_and_data(model, dataset)
        self.require_meant()
        device = device_of(model)
        generator = torch.Generator(device).manual_seed(setup.seed)
        with environ.measure(device) as cost:
            attacked = quick(model)
            images, labels, logits, asked = self.correctly_classified(attacked, dataset, setup)
            tally = Tally(untargeted=self.untargeted, judged=self.stop_threshold is not None)

            def attack_batch(*batch: Tensor) -> None:
                pixels, true, clean = (tensor.to(device) for tensor in batch)
                target = self.choose_target(clean)
                outcome = self._attack(attacked, pixels, target, generator)
                if outcome.logits is None:
                    with untouched(attacked):
                        self._judge_end(attacked, outcome, target)
                tally.add(pixels, true, clean, target, outcome)

            self.batch_by_batch(attack_batch, (images, labels, logits), device, setup)
        if tally.nothing_moved:
            raise UserError(
                f"the gradient is 0 for all {tally.counts()['zero_gradients']} images that did not succeed at once, so "
                f"that none was moved, which says nothing of how robust the model is: {self.without_gradient()}"
            )
        files = {}
        if setup.folder is not None:
            files["examples"] = str(setup.folder / "examples.png")
            tally.draw(setup.folder / "examples.png", dataset.class_names)
        return record(
            self,
            model,
            dataset,
            setup,
            metrics=tally.metrics(failure_iterations=2 * self.most_steps),
            counts={**tally.counts(), "selection": asked},
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            environment={"notes": notes} if (notes := self.notes()) else {},
            files=files,
        )
