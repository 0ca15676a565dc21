"""TrojanNN: a trigger made so that it excites neurons which clean images leave cold."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from autovul.base.errors import UserError
from autovul.base.options import OptionError, option
from autovul.base.result import Metric
from autovul.vision.attacks.backdoor.attack import BackdoorAttack, Scene
from autovul.vision.attacks.backdoor.neurons import Neurons, mean_activations
from autovul.vision.attacks.base import registry, require_differentiable, untouched
from autovul.vision.datasets import ImageBatches
from autovul.vision.marks import Trigger


@registry.register("trojannn")
class TrojanNN(BackdoorAttack):
    r"""A trigger that drives chosen neurons a, then a backdoor as in BadNets.

    The neurons are those of ``preprocess_layer`` with the lowest activation summed over the training set, in eval
    mode. On a black image that holds only the opaque mark, the mark's visible pixels descend the distance

    .. math:: d = \lVert a - v \rVert_2, \qquad \text{mark} \leftarrow \operatorname{clip}_{[0, 1]}
              \bigl(\text{mark} - \eta \, \operatorname{sign}(\nabla d)\bigr)

    at most ``neuron_epoch`` times, or until d < ``threshold``; the mark with the lowest d is taken. v is
    ``target_value``, η is ``neuron_lr``.

    Source: Liu et al., Trojaning Attack on Neural Networks (2018), section 4.1.
    Deviations from the artifact: its steps are clipped to 1/255 by mistake, so that the mark hardly changes; a neuron
    without a gradient on the mark (a dead one) is passed over, which is said and counted; of the marks on the way the
    best is taken, not the last.
    """

    name: ClassVar[str] = "trojannn"

    preprocess_layer: str = option(
        "flatten", "Layer whose neurons are excited; flatten: the final features.", min_length=1
    )
    neuron_num: int = option(2, "Neurons to excite.", ge=1)
    target_value: float = option(10.0, "Activation that they shall reach.")
    threshold: float = option(5.0, "Distance to it at which the mark is good enough.", ge=0)
    neuron_lr: float = option(0.015, "How far each pixel of the mark moves in a step.", gt=0, unit="pixels")
    neuron_epoch: int = option(20, "Steps at the most.", ge=0)

    def make_trigger(self, scene: Scene, trigger: Trigger) -> Trigger:
        """The trigger in the colours that excite the neurons most."""
        with untouched(scene.model), Neurons(scene.model, self.preprocess_layer) as neurons:
            train = scene.dataset.train
            batches = ImageBatches(train.images, train.labels, scene.setup.batch_size, scene.device)
            order = mean_activations(neurons, batches).argsort(stable=True)  # those that never fire are equal
            chosen, dead = self._choose(neurons, order, trigger)
            if dead:
                scene.say(f"trojannn: passed over {len(dead)} neurons without a gradient on the mark: {dead[:10]}")
            before, after, trained = self._excite(neurons, chosen, trigger)
        scene.took(neurons.forward, neurons.backward)
        scene.counts["dead_neurons"] = len(dead)
        scene.metrics["neuron_activation_before"] = Metric(before, "", len(chosen))
        scene.metrics["neuron_activation_after"] = Metric(after, "", len(chosen))
        scene.say(f"trojannn: neurons {chosen.tolist()}, mean activation on the mark {before:.4g} -> {after:.4g}")
        return trained

    def _choose(self, neurons: Neurons, order: Tensor, trigger: Trigger) -> tuple[Tensor, list[int]]:
        """The first ``neuron_num`` neurons of the order that the mark can move, and those passed over."""
        if self.neuron_num > len(order):
            raise OptionError(
                f"neuron_num must be at most {len(order)}, which is how many {self.preprocess_layer!r} has, "
                f"got {self.neuron_num}"
            )
        mark = trigger.mark.detach().clone().requires_grad_()
        activations = self._activations(neurons, trigger.with_mark(mark))
        alive: list[int] = []
        dead: list[int] = []
        for neuron in order.tolist():
            if len(alive) == self.neuron_num:
                break
            gradient = self._gradient(activations[neuron], mark)
            neurons.backward += 1
            (alive if bool((gradient * trigger.mask != 0).any()) else dead).append(neuron)
        if len(alive) < self.neuron_num:
            raise UserError(
                f"neuron_num: {self.neuron_num} asked for, but the mark moves only {len(alive)} of the {len(order)} "
                f"neurons of {self.preprocess_layer!r}"
            )
        return torch.tensor(alive, device=order.device), dead

    def _excite(self, neurons: Neurons, chosen: Tensor, trigger: Trigger) -> tuple[float, float, Trigger]:
        """The neurons' mean activation before and after, and the trigger that has moved them."""
        visible = trigger.mask > 0
        mark = trigger.mark.detach().clone()
        best, least, first, last = mark, float("inf"), 0.0, 0.0
        for step in range(self.neuron_epoch + 1):
            mark = mark.detach().requires_grad_()
            activations = self._activations(neurons, trigger.with_mark(mark))[chosen]
            distance = torch.linalg.vector_norm(activations - self.target_value)
            if step == 0:
                first = activations.mean().item()
            if distance.item() < least:
                best, least, last = mark.detach(), distance.item(), activations.mean().item()
            if step == self.neuron_epoch or least < self.threshold:
                break
            move = self.neuron_lr * self._gradient(distance, mark).sign()
            neurons.backward += 1
            mark = torch.where(visible, (mark.detach() - move).clamp(0, 1), mark.detach())
        return first, last, trigger.with_mark(best)

    @staticmethod
    def _activations(neurons: Neurons, trigger: Trigger) -> Tensor:
        """(F,), on the black image with the mark."""
        with torch.enable_grad():
            return neurons(trigger.alone())[1][0]

    @staticmethod
    def _gradient(value: Tensor, mark: Tensor) -> Tensor:
        return torch.autograd.grad(require_differentiable(value), mark, retain_graph=True)[0]
