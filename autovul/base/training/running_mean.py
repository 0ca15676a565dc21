"""Loss and accuracy over an epoch, without making the device wait at every step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class RunningMean:
    """Loss and accuracy over the epoch so far, read from the device only now and then.

    Reading a number from a GPU waits for all that is queued there, so steps add tensors and `drain` reads them.
    """

    def __init__(self) -> None:
        self.loss_sum, self.correct, self.count, self.seconds = 0.0, 0, 0, 0.0
        self._pending: list[tuple[Tensor, Tensor, int]] = []

    def add(self, loss: Tensor, correct: Tensor, count: int) -> None:
        """Take in one step: its mean loss, its number of correct rows, its number of rows."""
        self._pending.append((loss.detach(), correct, count))

    def drain(self) -> int | None:
        """Read what was added. Returns how many steps ago the first loss was that is not finite (1: the last)."""
        if not self._pending:
            return None
        losses, corrects, counts = zip(*self._pending, strict=True)
        self._pending = []
        values = torch.stack(losses).tolist()
        for value, count in zip(values, counts, strict=True):
            self.loss_sum += value * count
        self.correct += int(torch.stack(corrects).sum())
        self.count += sum(counts)
        return next((len(values) - i for i, value in enumerate(values) if not math.isfinite(value)), None)

    @property
    def loss(self) -> float:
        """Mean loss over the samples read."""
        return self.loss_sum / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        """Share of correct samples among those read."""
        return self.correct / self.count if self.count else math.nan

    def to_plain(self) -> list[Any]:
        """The sums, drained."""
        return [self.loss_sum, self.correct, self.count, self.seconds]

    def from_plain(self, plain: list[Any]) -> None:
        """Take over what `to_plain` gave."""
        self.loss_sum, self.correct, self.count, self.seconds = plain
