"""Adds up, batch by batch, how far the nearest adversarial examples are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autovul.base.result import Metric
from autovul.vision.attacks.evasion.norms import Norm
from autovul.vision.attacks.evasion.perturbation import Passes

if TYPE_CHECKING:
    from autovul.vision.attacks.evasion.minimum_norm import Nearest

EXAMPLES = 8
QUARTILES = {"lower_quartile_distance": 0.25, "median_distance": 0.5, "upper_quartile_distance": 0.75}


class Distances:
    """Each image's distance to its nearest adversarial example, infinite where none was found, and what follows.

    Args:
        norm: In which they are measured.
    """

    def __init__(self, norm: Norm) -> None:
        self.unit, self.scale = ("/255", 255.0) if norm == "inf" else ("pixels", 1.0)
        self.passes = Passes()
        self._distances: list[Tensor] = []
        self._flat: list[Tensor] = []
        self._examples: tuple[Tensor, ...] | None = None

    def add(self, clean: Tensor, labels: Tensor, nearest: Nearest) -> None:
        """Add one batch: clean images, true labels and what was found."""
        self._distances.append(nearest.distances.cpu().double() * self.scale)
        self._flat.append(nearest.flat.cpu())
        self.passes.add(nearest.passes)
        if self._examples is None:
            shown = (clean, nearest.images, labels, nearest.classes)
            self._examples = tuple(tensor[:EXAMPLES].cpu() for tensor in shown)

    @property
    def sorted(self) -> Tensor:
        """(n,), in the metrics' unit."""
        return torch.cat(self._distances).sort().values

    @property
    def nothing_moved(self) -> bool:
        """Whether no gradient of any image led anywhere."""
        return bool(torch.cat(self._flat).all()) and bool(self.sorted.isinf().all())

    def metrics(self) -> dict[str, Metric]:
        """Median and quartiles; None where it lies among the images without an adversarial example. Mean queries."""
        distances = self.sorted
        values = {name: quantile(distances, share) for name, share in QUARTILES.items()}
        found = {
            name: Metric(value if math.isfinite(value) else None, self.unit, len(distances))
            for name, value in values.items()
        }
        if self.passes.queries:
            found["mean_queries"] = Metric(self.passes.queries / len(distances), "queries", len(distances))
        return found

    def curve(self) -> tuple[dict[str, float], ...]:
        """For each percentage the least distance within which so many images have an adversarial example."""
        distances = self.sorted
        rows = ((percent, distances[-(-percent * len(distances) // 100) - 1].item()) for percent in range(1, 101))
        return tuple({"percent": percent, "distance": distance} for percent, distance in rows if distance < math.inf)

    def counts(self) -> dict[str, int]:
        """Images, those without an adversarial example, those that no gradient moved, and the passes that it took."""
        distances = self.sorted
        return {
            "images": len(distances),
            "without_adversarial": int(distances.isinf().sum()),
            "zero_gradients": int(torch.cat(self._flat).sum()),
            "forward": self.passes.forward,
            "backward": self.passes.backward,
            **({"queries": self.passes.queries} if self.passes.queries else {}),
        }

    def draw(self, folder: Path, class_names: list[str]) -> dict[str, str]:
        """Draw the first images before and after, and the share of images lost within each distance."""
        from autovul.vision.attacks.evasion.pictures import draw_adversarial, draw_distances

        assert self._examples is not None
        clean, adversarial, labels, classes = self._examples
        files = {"examples": folder / "examples.png", "distances": folder / "distances.png"}
        draw_adversarial(files["examples"], clean, adversarial, labels, classes, class_names)
        draw_distances(files["distances"], self.sorted, quantile(self.sorted, 0.5), self.unit)
        return {role: str(path) for role, path in files.items()}


def quantile(values: Tensor, share: float) -> float:
    """The quantile of sorted values, by linear interpolation; infinite where it lies at or next to an infinite one."""
    place = share * (len(values) - 1)
    low, high = values[math.floor(place)].item(), values[math.ceil(place)].item()
    return low if low == high else low + (high - low) * (place - math.floor(place))
