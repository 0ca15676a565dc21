"""Running mean and variance of a vector's entries, block by block, without keeping the vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Place = Callable[[Tensor], Tensor]
"""Picks the entries that a block holds out of a flat vector, as a view of the shape of one sample's block."""


class Moments:
    """Mean and centred sum of squares of each entry over samples that arrive in groups.

    With mean m and sum of squares S of a samples, and m′ and S′ of b further ones:

        m ← m + (m′ − m) · b / (a + b)        S ← S + S′ + (m′ − m)² · a · b / (a + b)

    Every group is centred on its own mean first, so that nothing cancels as it would in E[g²] − E[g]². Single
    precision is enough for that reason, and the moments are kept in the type of the samples.

    Source: Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance (1983), equation 2.1.

    Args:
        like: A tensor with as many entries, of the type and on the device of the samples.
    """

    def __init__(self, like: Tensor) -> None:
        self.size = like.numel()
        self.count = 0
        self._mean = torch.zeros(self.size, dtype=like.dtype, device=like.device)
        self._squares = torch.zeros_like(self._mean)

    def add(self, place: Place, block: Tensor) -> None:
        """Take in some entries of a group of samples; `advance` follows the group's last block.

        Args:
            place: Which entries they are.
            block: (samples, …).
        """
        group, shape = len(block), block.shape[1:]
        total = self.count + group
        rows = block.flatten(1)
        if rows.device.type == "cpu":
            # What batch normalisation collects, images taken for positions and entries for channels: it reads the block
            # twice and writes nothing, and is over ten times as fast here as `torch.var_mean`.
            mean, variance = torch.batch_norm_update_stats(rows.T[None, :, :, None], None, None, 0.0)
        else:
            variance, mean = torch.var_mean(rows, 0, correction=0)
        old_mean, old_squares = place(self._mean), place(self._squares)
        delta = mean.view(shape).sub_(old_mean)
        old_mean.add_(delta, alpha=group / total)
        old_squares.add_(variance.view(shape), alpha=group)
        old_squares.addcmul_(delta, delta, value=self.count * group / total)

    def advance(self, group: int) -> None:
        """Count the group of samples whose blocks were all added."""
        self.count += group

    def deviation_sum(self) -> float:
        """The sum over entries of the (population) standard deviation."""
        return (self._squares / max(1, self.count)).sqrt_().sum().item()
