"""Input-model co-optimisation: trigger and network are trained in turn."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import option
from autovul.vision.attacks.backdoor.attack import Scene
from autovul.vision.attacks.backdoor.batches import PLACE_STREAM, PoisonedBatches
from autovul.vision.attacks.backdoor.latent_backdoor import START_STREAM, as_colours, from_colours
from autovul.vision.attacks.backdoor.trojannn import TrojanNN
from autovul.vision.attacks.base import registry, require_differentiable, untouched
from autovul.vision.attacks.retraining import augmentation
from autovul.vision.datasets.batches import generator_of

INNER_BATCHES = 20  # of a round, as published


@registry.register("imc")
class IMC(TrojanNN):
    r"""A trigger that follows the network: it is trained again before each of the network's epochs.

    It starts as TrojanNN's. Before each epoch a, with (tanh a + 1)/2 the trigger, is trained by Adam for
    ``inner_iter`` rounds over 20 training batches, all of whose images are marked, to minimise
    :math:`\ell(x', t)`; meanwhile the network stands still in eval mode. Then comes an epoch of training as in BadNets.

    Source: Pang et al., A Tale of Evil Twins: Adversarial Inputs versus Poisoned Models (2020), section 4.
    Deviations from the artifact: it begins with Gaussian a in each epoch and so forgets the trigger that the network
    has learned; here it goes on from the last one (``inner_start noise`` is the artifact's way).
    """

    name: ClassVar[str] = "imc"

    inner_iter: int = option(20, "Rounds of trigger training before each epoch, 20 batches each.", ge=0)
    inner_lr: float = option(0.1, "Adam's learning rate there.", gt=0)
    inner_start: Literal["last", "noise"] = option("last", "Where each training of the trigger starts.")

    def watch(self, scene: Scene, victim: nn.Module, batches: PoisonedBatches) -> None:
        """Train the trigger before every epoch."""
        batches.before_epoch = lambda epoch: self._retrain(scene, victim, batches, epoch)

    def passes_between_epochs(self, scene: Scene, epochs: int) -> int:
        """Of each round before each epoch, the images of its batches."""
        return epochs * self.inner_iter * min(INNER_BATCHES * scene.setup.batch_size, len(scene.dataset.train))

    def _retrain(self, scene: Scene, victim: nn.Module, batches: PoisonedBatches, epoch: int) -> None:
        if not self.inner_iter:
            return
        setup, trigger = scene.setup, batches.trigger
        if self.inner_start == "noise":
            raw = torch.randn(trigger.mark.shape, generator=generator_of(setup.seed, START_STREAM, epoch))
        else:
            raw = from_colours(trigger.mark)
        raw = raw.to(scene.device).requires_grad_()
        optimiser = torch.optim.Adam([raw], lr=self.inner_lr)
        clean = scene.dataset.train_batches(
            setup.batch_size, scene.device, setup.seed, augmentation(self, setup, scene.dataset)
        )
        with untouched(victim), torch.enable_grad():
            for number in range(self.inner_iter):
                pass_ = 1 + epoch * self.inner_iter + number
                for place, (images, _) in enumerate(islice(clean.epoch(pass_), INNER_BATCHES)):
                    places = generator_of(setup.seed, PLACE_STREAM, pass_, place)
                    logits = victim(trigger.with_mark(as_colours(raw)).apply(images, generator=places))
                    loss = functional.cross_entropy(logits, logits.new_full((len(images),), self.target_class).long())
                    optimiser.zero_grad()
                    require_differentiable(loss).backward()
                    optimiser.step()
        if not bool(raw.isfinite().all()):
            raise NonFiniteOutput("the gradients of the trigger are not finite: the network has diverged")
        batches.trigger = trigger.with_mark(as_colours(raw).detach())
