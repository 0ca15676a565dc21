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
        Rows of x and of y, and their share: in every process equally many parts, nearly equally large, because the
        processes meet in synchronised batch norm. One that has too few rows for that has a row with share 0 instead.
    """
    count = len(x)
    if team.size == 1 and (microbatch is None or microbatch >= count):
        yield x, y, 1.0
        return
    if not isinstance(y, Tensor):
        raise UserError("this training's loss looks at the whole batch: leave out microbatch, and run one process")
    mine = team.rows(count)
    largest = -(-count // team.size)  # rows of the process that has most
    number = -(-largest // (microbatch or largest))
    for part in range(number):
        start, stop = (mine.start + (mine.stop - mine.start) * k // number for k in (part, part + 1))
        rows = slice(start, stop) if start < stop else slice(0, 1)
        yield x[rows], y[rows], (stop - start) / count
