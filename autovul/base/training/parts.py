"""The parts of a batch that go through the network by themselves, and how much each counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from autovul.base.distributed import Team
from autovul.base.errors import UserError


def parts_of(x: Tensor, y: Any, team: Team, microbatch: int | None) -> Iterator[tuple[Tensor, Any, float]]:
    r"""This process's parts of a batch.

    .. math:: \nabla \frac1n \sum_{i=1}^n \ell_i = \sum_k \frac{n_k}{n} \nabla \frac{1}{n_k} \sum_{i \in k} \ell_i

    so that the gradients of parts, each weighted with its share of the rows, add up to the whole batch's. That holds
    for losses that are a mean over rows, and up to batch norm in training mode, which sees a part.

    Args:
        x: (n, …).
        y: Labels (n,) or (n, classes); anything else only for a batch that is not divided.
        team: The processes that share the batch.
        microbatch: Rows of a part at most; none: all rows of the process.

    Yields:
        Rows of x and of y, and their share. A process without rows has one with share 0, because the processes meet in
        synchronised batch norm.
    """
    count = len(x)
    if team.size == 1 and (microbatch is None or microbatch >= count):
        yield x, y, 1.0
        return
    if not isinstance(y, Tensor):
        raise UserError("this training's loss looks at the whole batch: leave out microbatch, and run one process")
    mine = team.rows(count)
    if mine.start == mine.stop:
        yield x[:1], y[:1], 0.0
        return
    size = microbatch or count
    for start in range(mine.start, mine.stop, size):
        rows = slice(start, min(start + size, mine.stop))
        yield x[rows], y[rows], (rows.stop - rows.start) / count
