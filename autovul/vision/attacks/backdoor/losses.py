"""What training a backdoor minimises on a batch of clean and triggered images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.backdoor.neurons import Neurons


class PoisonStep:
    r"""Cross entropy over clean images and triggered ones, whose label is the target class.

    .. math:: L = \frac{1}{n + m} \Bigl(\sum_{i \le n} \ell(x_i, y_i) + \sum_{j \le m} \ell(x'_j, t)\Bigr)
              \quad\text{or}\quad
              L = \frac{1 - p}{n} \sum_{i \le n} \ell(x_i, y_i) + \frac{p}{m} \sum_{j \le m} \ell(x'_j, t)

    Clean and triggered images go through the network together. The trigger's colours are part of the training state,
    because some attacks change them on the way.

    Args:
        batches: Where the images come from.
        weight: p; None: the first form, every image counts the same.
        auxiliary_weight: Weight of an auxiliary head's loss.
        label_smoothing: Share of each label, the target class included, that is spread evenly over all classes.
    """

    whole_batch = True  # clean and triggered rows have weights of their own

    def __init__(
        self, batches: PoisonedBatches, weight: float | None, auxiliary_weight: float, label_smoothing: float = 0.0
    ) -> None:
        self.batches, self.weight, self.auxiliary_weight = batches, weight, auxiliary_weight
        self.label_smoothing = label_smoothing

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        """Loss and logits of a batch that `PoisonedBatches` gives."""
        labels, clean = y
        return self._classification(model(x), labels, clean)

    def _classification(self, output: Any, labels: Tensor, clean: int) -> tuple[Tensor, Tensor]:
        logits, auxiliary = output if isinstance(output, tuple) else (output, None)
        loss = self._mean(logits, labels, clean)
        if auxiliary is not None:
            loss = loss + self.auxiliary_weight * self._mean(auxiliary, labels, clean)
        return loss, logits

    def _mean(self, logits: Tensor, labels: Tensor, clean: int) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        if self.weight is None:
            return losses.mean()
        parts = ((1 - self.weight, losses[:clean]), (self.weight, losses[clean:]))
        return torch.stack([weight * part.mean() for weight, part in parts if len(part)]).sum()

    def state_dict(self) -> dict[str, Tensor]:
        """The trigger's colours."""
        return {"mark": self.batches.trigger.mark}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave."""
        trigger = self.batches.trigger
        self.batches.trigger = trigger.with_mark(state["mark"].to(trigger.mark))


class FeatureStep(PoisonStep):
    r"""Cross entropy over clean images, and the distance of triggered images' features to those of the target class.

    .. math:: L = \frac{1}{n} \sum_i \ell(x_i, y_i) + \frac{\lambda}{m F} \sum_j \lVert f(x'_j) - \bar f_t \rVert_2^2

    Args:
        batches: Where the images come from.
        features: Listens to the network that is trained.
        goal: (F,), the target class's mean features.
        weight: λ.
        auxiliary_weight, label_smoothing: As for `PoisonStep`.
    """

    def __init__(
        self,
        batches: PoisonedBatches,
        features: Neurons,
        goal: Tensor,
        weight: float,
        auxiliary_weight: float,
        label_smoothing: float = 0.0,
    ) -> None:
        # Of the classification, triggered images are no part.
        super().__init__(batches, 0.0, auxiliary_weight, label_smoothing)
        self.features, self.goal, self.mse_weight = features, goal, weight

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        labels, clean = y
        output, features = self.features(x)
        loss, logits = self._classification(output, labels, clean)
        marked = features[clean:]
        if len(marked):
            loss = loss + self.mse_weight * functional.mse_loss(marked, self.goal.to(marked).expand_as(marked))
        return loss, logits
