"""How fast a network learns early on, told by its training losses."""

from __future__ import annotations

from collections.abc import Mapping


def early_loss(losses: Mapping[int, float], epochs: int) -> float | None:
    """Mean training loss over the first tenth of a run's epochs, at least one; none where one of them has no loss.

    The less, the faster the network learns early on.

    Args:
        losses: By epoch, from 1.
        epochs: How many the run has.

    Source: Ru et al., Speedy Performance Estimation for Neural Architecture Search (arXiv 2006.04492): the sum of
    training losses over the first epochs, here as a mean.
    """
    early = range(1, max(1, epochs // 10) + 1)
    return sum(losses[epoch] for epoch in early) / len(early) if all(epoch in losses for epoch in early) else None
