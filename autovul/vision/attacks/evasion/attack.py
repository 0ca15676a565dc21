"""The protocol of adversarial examples: which images, which target, when it stops, what counts as success."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.memory import in_parts
from autovul.base.metrics import NonFiniteOutput, require_finite
from autovul.base.options import OptionError, option
from autovul.base.progress import Progress
from autovul.base.result import Result
from autovul.vision.attacks.base import (
    Attack,
    Setup,
    ask,
    device_of,
    quick,
    require_all_classes,
    require_classes,
    require_images,
    require_logits,
    untouched,
)
from autovul.vision.attacks.evasion.perturbation import Perturbation
from autovul.vision.attacks.evasion.tally import Tally
from autovul.vision.attacks.record import record
from autovul.vision.datasets.splits import count_or_all, legacy_shuffle

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset


class EvasionAttack(Attack):
    """An attack that changes an image so that the model errs.

    The stop condition of a targeted attack: the target's confidence exceeds ``stop_threshold`` and, with
    ``require_class``, the target is the top class. Of an untargeted one: the original class's confidence does not
    exceed it and another class is the top one. It is checked before each step and once more after the last, and is
    what the artifact counts as success.
    """

    experiment: ClassVar[str] = "adv_attack"

    iteration: int = option(7, "Steps at the most.", ge=0)
    stop_threshold: float | None = option(
        0.99, "Confidence at which an image counts as done; none: take every step and check nothing.", ge=0, le=1
    )
    require_class: bool = option(False, "An image is done only if the target is also its top class.")
    target_idx: int = option(
        -1, "Rank of the target among the model's logits: -1 least likely, 1 second most likely, 0 untargeted."
    )
    target_class: int | None = option(
        None, "Target every image at this class instead; its own images are left out.", ge=0
    )
    test_num: int = option(1000, "Correctly classified images to attack, from 30 % of the validation split.", ge=1)

    @property
    def untargeted(self) -> bool:
        """Whether the attack only has to leave the original class."""
        return self.target_idx == 0 and self.target_class is None

    @property
    def most_steps(self) -> int:
        """Steps that an image takes at the most."""
        return self.iteration

    def without_gradient(self) -> str:
        """What to try where gradients are 0."""
        return "another attack may do better"

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

    def choose_target(self, logits: Tensor) -> Tensor:
        """The class that each image is driven to (for an untargeted attack: away from), by the options.

        Args:
            logits: (N, classes) of the clean images.
        """
        classes = logits.shape[1]
        if self.target_class is not None:
            if self.target_class >= classes:
                raise OptionError(f"target_class must be from 0 to {classes - 1}, got {self.target_class}")
            return torch.full((len(logits),), self.target_class, dtype=torch.int64, device=logits.device)
        if not -classes < self.target_idx < classes:
            raise OptionError(f"target_idx must be from {1 - classes} to {classes - 1}, got {self.target_idx}")
        return logits.argsort(dim=1, descending=True, stable=True)[:, self.target_idx]  # of equal ones, as argmax

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
        self.require_meant()
        device = device_of(model)
        generator = torch.Generator(device).manual_seed(setup.seed)
        show = Progress("auto" if setup.progress else "off")
        batch_size = setup.attack_batch
        with environ.measure(device) as cost:
            model = quick(model)
            images, labels, logits, asked = self._correctly_classified(model, dataset, setup.seed, batch_size)
            tally = Tally(untargeted=self.untargeted, judged=self.stop_threshold is not None)

            def attack_batch(*batch: Tensor) -> None:
                pixels, true, clean = (tensor.to(device) for tensor in batch)
                target = self.choose_target(clean)
                outcome = self._attack(model, pixels, target, generator)
                if outcome.logits is None:
                    with untouched(model):
                        self._judge_end(model, outcome, target)
                tally.add(pixels, true, clean, target, outcome)

            show.start(-(-len(images) // batch_size), done=0)
            for _ in in_parts(attack_batch, (images, labels, logits), batch_size, device):
                show.advance(self.name)
            show.close()
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
            files=files,
        )

    def _correctly_classified(
        self, model: nn.Module, dataset: ImageDataset, seed: int, batch_size: int
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Images, labels and logits to start from, on the CPU; and of how many images the model was asked for that."""
        split = dataset.attack_split()
        order = legacy_shuffle(len(split), seed)
        if self.target_class is not None:
            order = order[split.labels[order] != self.target_class]
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        found, asked, device = 0, 0, device_of(model)
        for index in order.split(batch_size) if len(order) else ():
            if found >= self.test_num:
                break
            pixels, labels = split.pixels(index), split.labels[index]
            with untouched(model), torch.no_grad():
                parts = in_parts(lambda part: ask(model, part.to(device)).cpu(), (pixels,), batch_size, device)
                logits = require_all_classes(require_finite(torch.cat([*parts])), dataset)
            right = logits.argmax(1) == labels
            kept.append((pixels[right], labels[right], logits[right]))
            found += int(right.sum())
            asked += len(pixels)
        exact = "test_num" in self.model_fields_set
        try:
            count = count_or_all(self.test_num, found, exact=exact, what="correctly classified images to attack")
        except ValueError as error:
            raise UserError(f"{dataset.name}: {error} (in 30 % of the validation split)") from None
        images, labels, logits = (torch.cat(tensors)[:count] for tensors in zip(*kept, strict=True))
        return images, labels, logits, asked
