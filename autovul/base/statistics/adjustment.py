"""The difference of two groups of networks with a covariate held equal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from autovul.base.statistics.groups import Difference
from autovul.base.statistics.intervals import BySeed, t_interval, weighted_interval

LEAST_FOR_A_LINE = 6  # networks; with fewer, three degrees of freedom at the least are not left beside the line's
LEAST_ALIKE = 2  # networks of a group within the other's range; a single one would carry the whole comparison

Names = tuple[Sequence[Hashable], Sequence[Hashable]]
"""The network that each row is of, for the first group and for the second."""


@dataclass(frozen=True)
class AdjustedDifference(Difference):
    """A difference with a covariate held equal, and the two lines that it lies between.

    Args:
        slope: Of both lines.
        levels: Where each cuts the axis, at a covariate of 0.
    """

    slope: float
    levels: tuple[float, float]


def separable(first: Sequence[float], second: Sequence[float], names: Names | None = None) -> bool:
    """Whether two groups' networks can be compared at equal values: two of each lie in the range that both cover.

    Args:
        first, second: A value a row.
        names: Rows of one name are variants of one network, and count as one. None: each row is its own network.
    """
    low, high = max(min(first), min(second)), min(max(first), max(second))
    rows = zip((first, second), names or (range(len(first)), range(len(second))), strict=True)
    alike = ({name for value, name in zip(*side, strict=True) if low <= value <= high} for side in rows)
    return all(len(found) >= LEAST_ALIKE for found in alike)


def adjusted_difference(
    first: Sequence[BySeed],
    second: Sequence[BySeed],
    covariate: tuple[Sequence[float], Sequence[float]],
    names: Names | None = None,
    level: float = 0.95,
) -> AdjustedDifference | None:
    """The difference of two groups' means that is left with a covariate held equal: b in y = a + b·[first] + c·x.

    By least squares, with the same slope c in both groups. A network may have several rows, one a variant of it with
    another x; each of its k rows weighs 1/k, so that networks count once.

    The answer to the first question takes networks and covariate as fixed and the line as right: b is a weighted sum of
    the rows' means, with the interval of `weighted_interval`. The answer to the second knows as well how far networks
    lie off the line (`_variance_over_networks`): variants of a network may be as like each other as they are, and one
    group may vary more than the other, as in Welch's interval.

    Args:
        first, second: For each row its values by seed.
        covariate: x of the first group's rows, and of the second's, without error.
        names: As in `separable`.
        level: The confidence level, between 0 and 1.

    Returns:
        None where there are fewer than six networks, the groups are not `separable` by x (b would be extrapolated), or
        x is the same within both groups. ``networks`` are those, not the rows.

    Source: the analysis of covariance, Fisher, Statistical Methods for Research Workers (1932), section 49.1.
    """
    names = names or (range(len(first)), range(len(second)))
    sizes = len(set(names[0])), len(set(names[1]))
    if sum(sizes) < LEAST_FOR_A_LINE or not separable(*covariate, names):
        return None
    rows = [(side, name) for side in (0, 1) for name in names[side]]
    places = {row: place for place, row in enumerate(dict.fromkeys(rows))}
    network = np.array([places[row] for row in rows])
    share = 1 / np.bincount(network)[network]
    is_first = np.repeat([1.0, 0.0], [len(first), len(second)])
    x = np.concatenate([np.asarray(values, float) for values in covariate])
    spread = np.concatenate([part - part.mean() for part in np.split(x, [len(first)])])
    if float(spread @ spread) <= 1e-12 * max(1.0, float(x @ x)):
        return None
    design = np.column_stack([is_first, 1 - is_first, x - x.mean()])
    solution = np.linalg.solve(design.T @ (share[:, None] * design), design.T * share)
    weights, residuals = solution[0] - solution[1], np.eye(len(x)) - design @ solution
    y = np.array([fmean(values.values()) for values in (*first, *second)])
    estimate = float(weights @ y)
    these = weighted_interval(
        (first, weights[: len(first)].tolist()), (second, (-weights[len(first) :]).tolist()), level
    )
    general = t_interval(estimate, *_variance_over_networks(weights, residuals, network, y), level)
    first_level, second_level, slope = (float(value) for value in solution @ y)
    levels = first_level - slope * float(x.mean()), second_level - slope * float(x.mean())
    return AdjustedDifference(estimate, these, general, None, sizes, slope, levels)


def _variance_over_networks(
    weights: np.ndarray, residuals: np.ndarray, network: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """The variance of Σ wᵢ yᵢ over networks whose rows may go together, and its degrees of freedom.

    With e = R y the residuals and e_g those of network g it is Σ_g (w_g A_g e_g)², where A_g = (R_g R_gᵀ)^(−1/2) undoes
    what the line takes of them: were all rows independent and alike in variance, its expectation would be right. Each
    term is p_g·y; with G the products of all p the degrees of freedom are (tr G)² / Σ G². Where every network has one
    row it is Welch's approximation for a line.

    Args:
        weights: w, one a row.
        residuals: R, the matrix that makes residuals of y.
        network: Which network each row is of, from 0.
        y: One a row.

    Source: Bell and McCaffrey, Survey Methodology 28 (2002); for weighted rows Pustejovsky and Tipton, Journal of
    Business & Economic Statistics 36 (2018).
    """
    parts = []
    for place in range(network.max() + 1):
        own = residuals[network == place]
        values, vectors = np.linalg.eigh(own @ own.T)
        # A row that draws the line alone has no residual to correct.
        root = np.where(values > 1e-10, values, np.inf) ** -0.5
        parts.append(weights[network == place] @ (vectors * root) @ vectors.T @ own)
    rows = np.array(parts)
    terms, products = rows @ y, rows @ rows.T
    # What does not vary must have no variance at all; rounding would leave some.
    terms[np.abs(terms) <= 1e-12 * (np.abs(rows) @ np.abs(y))] = 0
    return float(terms @ terms), float(np.trace(products)) ** 2 / float(np.square(products).sum())
