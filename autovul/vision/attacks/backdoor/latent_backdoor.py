"""Latent backdoor: a trigger that stands for the target class in feature space."""

from __future__ import annotations

from contextlib import ExitStack
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from autovul.base.errors import UserError
from autovul.base.options import OptionError, option
from autovul.base.result import Metric
from autovul.vision.attacks.backdoor.attack import BackdoorAttack, Scene
from autovul.vision.attacks.backdoor.batches import PLACE_STREAM, PoisonedBatches
from autovul.vision.attacks.backdoor.losses import FeatureStep, PoisonStep
from autovul.vision.attacks.backdoor.neurons import Neurons, mean_activations
from autovul.vision.attacks.base import Setup, registry, require_differentiable, untouched
from autovul.vision.datasets import ImageBatches, ImageDataset
from autovul.vision.datasets.batches import generator_of
from autovul.vision.datasets.splits import per_class
from autovul.vision.marks import Trigger

START_STREAM = 0x74616E68


@registry.register("latent_backdoor")
class LatentBackdoor(BackdoorAttack):
    r"""A trigger, and then a network, that pull triggered images to the target class's mean features.

    With f the output of ``preprocess_layer`` and :math:`\bar f_t` its mean over images of the target class, the trigger
    (tanh a + 1)/2, from Gaussian a, is trained by Adam to minimise, over images x of the other classes,
    :math:`\operatorname{MSE}(f(x'), \bar f_t)`. Then the network is trained on

    .. math:: L = \ell(x, y) + \lambda \operatorname{MSE}(f(x'), \bar f_t)

    over the clean and the triggered images of each batch. With ``plain_poisoning`` it is trained as in BadNets instead.

    Source: Yao et al., Latent Backdoor Attacks on Deep Neural Networks (2019), sections 3.3 and 4.
    Deviations from the artifact: it drops the second term unless ``train_mode`` is ``loss``, which leaves plain
    poisoning; here it is kept in every mode.
    """

    name: ClassVar[str] = "latent_backdoor"

    class_sample_num: int = option(1000, "Training images of each class that the trigger is made from.", ge=1)
    mse_weight: float = option(0.5, "λ, the weight of the features' distance in the training of the network.", ge=0)
    preprocess_layer: str = option("flatten", "Layer of the features; flatten: the final ones.", min_length=1)
    preprocess_epoch: int = option(100, "Passes over these images in the making of the trigger.", ge=0)
    preprocess_lr: float = option(0.1, "Adam's learning rate there.", gt=0)
    plain_poisoning: bool = option(False, "Train on triggered images labelled as the target class, as in BadNets.")

    def make_trigger(self, scene: Scene, trigger: Trigger) -> Trigger:
        """The trigger whose images have the target class's features."""
        setup = scene.setup
        generator = generator_of(setup.seed, START_STREAM)
        raw = torch.randn(trigger.mark.shape, generator=generator).to(scene.device).requires_grad_()
        optimiser = torch.optim.Adam([raw], lr=self.preprocess_lr)
        others = self._samples(scene, of_target=False)
        batches = ImageBatches(others.images, others.targets, setup.batch_size, scene.device, seed=setup.seed)
        distances: list[float] = []
        with untouched(scene.model), Neurons(scene.model, self.preprocess_layer) as neurons:
            goal = self._goal(scene, neurons)
            for epoch in range(self.preprocess_epoch):
                total, count = torch.zeros((), device=scene.device), 0
                for number, (images, _) in enumerate(batches.epoch(epoch)):
                    coloured = trigger.with_mark(as_colours(raw))
                    marked = coloured.apply(images, generator=generator_of(setup.seed, PLACE_STREAM, epoch, number))
                    features = neurons(marked)[1]
                    loss = functional.mse_loss(features, goal.expand_as(features))
                    optimiser.zero_grad()
                    require_differentiable(loss).backward()
                    neurons.backward += len(images)
                    optimiser.step()
                    total, count = total + loss.detach() * len(images), count + len(images)
                distances.append(total.item() / count)
        scene.took(neurons.forward, neurons.backward)
        if distances:
            scene.metrics["feature_distance_first_epoch"] = Metric(distances[0], "", batches.num_samples)
            scene.metrics["feature_distance_last_epoch"] = Metric(distances[-1], "", batches.num_samples)
            scene.say(f"latent_backdoor: squared feature distance {distances[0]:.4g} -> {distances[-1]:.4g}")
        return trigger.with_mark(as_colours(raw).detach())

    def make_step(self, scene: Scene, victim: nn.Module, batches: PoisonedBatches, hooks: ExitStack) -> PoisonStep:
        """The loss with the features' distance, or BadNets'."""
        if self.plain_poisoning:
            return super().make_step(scene, victim, batches, hooks)
        with untouched(scene.model), Neurons(scene.model, self.preprocess_layer) as neurons:
            goal = self._goal(scene, neurons)
        scene.took(neurons.forward)
        listening = hooks.enter_context(Neurons(victim, self.preprocess_layer))
        return FeatureStep(batches, listening, goal, self.mse_weight, **self._weights(scene, victim))

    def _check(self, dataset: ImageDataset, setup: Setup) -> None:
        super()._check(dataset, setup)
        # There all images of a batch are marked, and λ alone weighs them.
        if self.train_mode == "loss" and not self.plain_poisoning and "poison_percent" in self.model_fields_set:
            raise OptionError(
                "poison_percent: latent_backdoor weighs triggered images by mse_weight in train_mode loss: leave it out"
            )

    def _goal(self, scene: Scene, neurons: Neurons) -> Tensor:
        """(F,), the clean network's mean features of the target class."""
        return mean_activations(neurons, self._samples(scene, of_target=True)).float()

    def _samples(self, scene: Scene, *, of_target: bool) -> ImageBatches:
        """``class_sample_num`` training images of the target class, or of each other class, in seeded order."""
        train = scene.dataset.train
        exact = "class_sample_num" in self.model_fields_set
        labels = train.labels.cpu()
        members = ((labels == self.target_class) == of_target).nonzero().squeeze(1)
        if not len(members):
            which = "of" if of_target else "beside"
            raise OptionError(f"target_class: there are no training images {which} class {self.target_class}")
        try:
            chosen = members[per_class(labels[members], self.class_sample_num, scene.setup.seed, exact=exact)]
        except ValueError as error:
            raise UserError(f"class_sample_num: {error} ({scene.dataset.name}, training split)") from None
        scene.counts["target_images" if of_target else "other_images"] = len(chosen)
        split = train.subset(chosen)
        return ImageBatches(split.images, split.labels, scene.setup.batch_size, scene.device)


def as_colours(raw: Tensor) -> Tensor:
    """(tanh a + 1) / 2, in [0, 1]."""
    return (raw.tanh() + 1) / 2


def from_colours(colours: Tensor) -> Tensor:
    """An a with these colours; those at 0 or 1 are taken to be 1e-4 away, where a is finite and can move."""
    return torch.atanh((2 * colours - 1).clamp(-1 + 2e-4, 1 - 2e-4))
