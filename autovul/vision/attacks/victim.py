"""A network seen from outside: it answers questions, many at once, and they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autovul.base.memory import give_back_reserve, halved
from autovul.base.metrics import require_finite
from autovul.vision.attacks.base import ask, device_of, require_logits, untouched
from autovul.vision.models.quick import quick

# On a CPU larger batches leave the caches: of 96 darts takes 1.26 times as long, resnet18_comp 1.03 times. On other
# devices a batch is as large as pays, and halved where their memory does not hold it.
CPU_BATCH, DEVICE_BATCH = 32, 4096


class Victim:
    """Answers queries in large batches.

    Args:
        model: Takes pixels in [0, 1] and gives logits; in eval mode.
        batch: Images in one forward pass. Where memory does not suffice it is halved, for good.

    Attributes:
        forward: Images that went through the network.
    """

    def __init__(self, model: nn.Module, batch: int | None = None) -> None:
        self.model = model
        self.device = device_of(model)
        self.batch = batch or (CPU_BATCH if self.device.type == "cpu" else DEVICE_BATCH)
        self.forward = 0
        self._asked = False
        self._channels_last = any(map(_is_channels_last, model.parameters()))

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Answers to images (N, C, H, W) in [0, 1] from any device: float32 (N, classes) on the model's.

        Raises:
            NonFiniteOutput: An answer is NaN or infinite.
            UserError: Memory does not suffice for a single image.
        """
        answers = []
        start = 0
        while start < len(images):
            parts = -(-(len(images) - start) // self.batch)
            size = -(-(len(images) - start) // parts)
            answer = self._pass(images[start : start + size])
            if answer is not None:
                answers.append(require_finite(answer))
                start += size
        self.forward += len(images)
        return torch.cat(answers) if answers else images.new_zeros(0, 0)

    def labels(self, images: Tensor) -> Tensor:
        """The class of each image, int64 (N,), on the model's device."""
        return self.logits(images).argmax(1)

    def _pass(self, images: Tensor) -> Tensor | None:
        """One forward pass; None if memory did not suffice and smaller batches are to be tried."""
        try:
            return self._answer(images)
        except (RuntimeError, MemoryError) as error:
            self.batch = halved(len(images), error, self.device)
        give_back_reserve(self.device)
        return None

    def _answer(self, images: Tensor) -> Tensor:
        images = images.to(self.device, torch.float32)  # this may be what memory does not hold
        if self._channels_last:
            images = images.to(memory_format=torch.channels_last)
        logits = require_logits(self.model(images)) if self._asked else ask(self.model, images)
        self._asked = True
        return logits.float()


@contextmanager
def questioned(model: nn.Module, batch: int | None = None) -> Iterator[Victim]:
    """The model as a `Victim`; afterwards it is exactly as it was.

    It is asked as it is `quick`, so that answers may differ from the model's by rounding.
    """
    with untouched(model):
        yield Victim(quick(model), batch)


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether a weight is stored so and not otherwise: with one channel, or one pixel, the two layouts are one."""
    channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return channels_last and not tensor.is_contiguous()
