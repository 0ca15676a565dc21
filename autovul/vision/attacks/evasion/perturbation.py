"""What an evasion attack has done to a batch, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Passes:
    """Passes through the model and, for a black-box attack, queries; each counted per image."""

    forward: int = 0
    backward: int = 0
    queries: int = 0

    def add(self, other: Passes) -> None:
        """Add another count to this one."""
        self.forward += other.forward
        self.backward += other.backward
        self.queries += other.queries


@dataclass
class Perturbation:
    """The outcome of an attack on a batch.

    Args:
        images: (N, C, H, W), the adversarial images.
        iterations: (N,), steps taken until the stop condition held; −1 where it never did.
        loss: (N,), the final loss where it was computed, else infinity.
        tried: Steps that an image without success has taken in all tries.
        broken: Whether some gradient was not finite; a tensor, so that a GPU is asked once and not every step.
        flat: (N,), whether the image took steps and the gradient was 0 in all of them, so that they did not move it.
        logits: (N, classes) of ``images``, where the attack computed them anyway.
    """

    images: Tensor
    iterations: Tensor
    loss: Tensor
    tried: int
    broken: Tensor
    flat: Tensor
    logits: Tensor | None = None
    passes: Passes = field(default_factory=Passes)

    @classmethod
    def begin(cls, images: Tensor, steps: int) -> Perturbation:
        """The outcome before the first step."""
        count, device = len(images), images.device
        iterations = torch.full((count,), -1, dtype=torch.int64, device=device)
        loss = torch.full((count,), torch.inf, dtype=images.dtype, device=device)
        broken, flat = (torch.zeros(shape, dtype=torch.bool, device=device) for shape in ((), (count,)))
        return cls(images.clone(), iterations, loss, steps, broken, flat)

    def note_gradient(self, index: Tensor, gradient: Tensor, step: int) -> None:
        """Note what the gradient (n, C, H, W) at a step, from 0 on, says of the images at ``index``."""
        self.broken |= ~gradient.isfinite().all()
        zero = ~gradient.flatten(1).any(1)
        self.flat[index] = zero if step == 0 else self.flat[index] & zero

    def stop(self, index: Tensor, images: Tensor, logits: Tensor, step: int) -> None:
        """Note that the images at ``index`` met the stop condition after ``step`` steps."""
        self.images[index] = images
        self.iterations[index] = step
        self.record(index, logits)

    def record(self, index: Tensor, logits: Tensor) -> None:
        """Keep the logits of the images at ``index``."""
        if self.logits is None:
            self.logits = logits.new_full((len(self.images), logits.shape[1]), torch.nan)
        self.logits[index] = logits

    def keep_better(self, index: Tensor, other: Perturbation) -> None:
        """Replace the tries at ``index`` by those of ``other`` that succeeded or came to a lower loss."""
        success = other.iterations >= 0
        better = success | (other.loss < self.loss[index])
        chosen = index[better]
        self.images[chosen] = other.images[better]
        self.loss[chosen] = other.loss[better]
        if other.logits is not None:
            self.record(chosen, other.logits[better])
        self.iterations[index[success]] = self.tried + other.iterations[success]
        self.tried += other.tried
        self.broken |= other.broken
        self.flat[index] &= other.flat
        self.passes.add(other.passes)
