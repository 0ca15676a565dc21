"""What membership inference found, image by image, and the figures, counts and files made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.base.metrics import roc
from autovul.base.result import Metric
from autovul.vision.attacks.membership.sample import Sample
from autovul.vision.attacks.membership.scores import Score

ROC_POINTS = 100  # of a curve in a record


@dataclass(frozen=True)
class Searched:
    """The boundary searches of a sample's images; each (N,), on the CPU.

    Args:
        tried: Whether a search was made.
        l2, linf: Norms of the perturbation; 0 where none was searched.
        found: Whether a point of another class was found (or none was searched).
        capped: Whether the query cap ended the search.
        queries: Queries spent.
    """

    tried: Tensor
    l2: Tensor
    linf: Tensor
    found: Tensor
    capped: Tensor
    queries: Tensor


@dataclass(frozen=True)
class Outcome:
    """Everything measured on one sample.

    Args:
        sample: The images.
        predicted: (N,), what the network says of them.
        scores: One for each method.
        searched: The boundary searches, where that method was among them.
        seed: Of the bootstrap.
    """

    sample: Sample
    predicted: Tensor
    scores: Sequence[Score]
    searched: Searched | None
    seed: int

    @cached_property
    def figures(self) -> tuple[Mapping[str, float | None], ...]:
        """The figures of each method."""
        return tuple(score.figures(self.sample.member, self.seed) for score in self.scores)

    @property
    def series(self) -> tuple[Mapping[str, Any], ...]:
        """One row a method: its figures, and points of its ROC curve as pairs of false and true positive rate."""
        return tuple(
            {"method": score.method, **row, "roc": _curve(*score.sides(self.sample.member))}
            for score, row in zip(self.scores, self.figures, strict=True)
        )

    def metrics(self) -> dict[str, Metric]:
        """The figures of each method as ``{method}_{figure}``, and the distances of both sides."""
        metrics = {}
        for score, row in zip(self.scores, self.figures, strict=True):
            members, others = (len(side) for side in score.sides(self.sample.member))
            for name, value in row.items():
                if name == "tpr_at_1_fpr":
                    metrics[f"{score.method}_{name}"] = Metric(value, "%", members)
                else:
                    metrics[f"{score.method}_{name}"] = Metric(value, "", members + others)
        return metrics | self._distances()

    def counts(self) -> dict[str, int]:
        """Images on each side: all, misclassified, without a boundary point, stopped by the query cap."""
        flags = {"misclassified": self.predicted != self.sample.labels}
        if self.searched:
            flags |= {"without_boundary": ~self.searched.found, "query_cap_reached": self.searched.capped}
        counts = {}
        for side, mask in (("members", self.sample.member), ("non_members", ~self.sample.member)):
            counts[side] = int(mask.sum())
            counts.update({f"{side}_{name}": int((mask & flag).sum()) for name, flag in flags.items()})
        counts["queries"] = int(self.searched.queries.sum()) if self.searched else len(self.predicted)
        return counts

    def write(self, folder: Path) -> dict[str, str]:
        """Draw ``roc.png`` and write ``scores.npz``; returns the files by role."""
        from autovul.vision.attacks.membership.figure import draw_roc

        sample = self.sample
        draw_roc(folder / "roc.png", {score.method: score.sides(sample.member) for score in self.scores})
        arrays = {"index": sample.index, "member": sample.member, "label": sample.labels, "prediction": self.predicted}
        arrays |= vars(self.searched) if self.searched else {}
        arrays |= {f"score_{s.method}": s.values.masked_fill(~s.valid, torch.nan) for s in self.scores}
        with whole_file(folder / "scores.npz") as file:
            np.savez(file, **{name: array.numpy() for name, array in arrays.items()})  # type: ignore[arg-type]
        return {"roc": str(folder / "roc.png"), "scores": str(folder / "scores.npz")}

    def _distances(self) -> dict[str, Metric]:
        if self.searched is None:
            return {}
        metrics = {}
        for name, side in (("member", self.sample.member), ("non_member", ~self.sample.member)):
            found = side & self.searched.found & self.searched.tried
            for norm, scale, unit in (("linf", 255, "/255"), ("l2", 1, "pixels")):
                distances = getattr(self.searched, norm)[found].double()
                median = scale * distances.quantile(0.5).item() if len(distances) else None
                metrics[f"{name}_median_{norm}"] = Metric(median, unit, len(distances))
        queries = self.searched.queries.double().mean().item()
        metrics["mean_queries"] = Metric(queries, "queries", len(self.predicted))
        return metrics


def _curve(inside: Tensor, outside: Tensor) -> list[list[float]]:
    """The ROC curve, thinned to about a hundred points; its ends stay."""
    false, true = roc(inside, outside)
    step = -(-len(false) // ROC_POINTS)
    points = torch.stack([false, true], 1)
    return [[round(value, 5) for value in pair] for pair in [*points[:-1:step].tolist(), points[-1].tolist()]]
