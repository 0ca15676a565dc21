"""Adds up, batch by batch, what an evasion attack achieved."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from autovul.base.metrics import require_finite
from autovul.base.result import Metric
from autovul.vision.attacks.evasion.perturbation import Passes, Perturbation

EXAMPLES = 8


class Tally:
    """Per-image outcomes, and the metrics made from them.

    Args:
        untargeted: Whether there is no class to reach.
        judged: Whether the attack had a stop condition, which is what the artifact counts as success.
    """

    def __init__(self, *, untargeted: bool, judged: bool) -> None:
        self.untargeted = untargeted
        self.judged = judged
        self.passes = Passes()
        self._columns: dict[str, list[Tensor]] = {}
        self._examples: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def add(self, clean: Tensor, labels: Tensor, before: Tensor, target: Tensor, outcome: Perturbation) -> None:
        """Add one batch: clean images, true labels, logits on the clean images, targets and the outcome."""
        assert outcome.logits is not None
        after = require_finite(outcome.logits)
        prediction = after.argmax(1)
        offset = (outcome.images - clean).flatten(1)
        confidence = {"before": before.softmax(1), "after": after.softmax(1)}
        columns = {
            "iterations": outcome.iterations,
            "flat": outcome.flat,
            "reached": prediction == target,
            "misclassified": prediction != labels,
            "linf": offset.abs().amax(1),
            "l2": torch.linalg.vector_norm(offset, dim=1),
        }
        for when, probabilities in confidence.items():
            columns[f"original_{when}"] = probabilities.gather(1, labels[:, None]).squeeze(1)
            columns[f"target_{when}"] = probabilities.gather(1, target[:, None]).squeeze(1)
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column.cpu())
        self.passes.add(outcome.passes)
        if self._examples is None:
            shown = (clean, outcome.images, labels, prediction)
            self._examples = tuple(tensor[:EXAMPLES].cpu() for tensor in shown)  # type: ignore[assignment]

    def _mean(self, name: str, scale: float = 1.0) -> float:
        return scale * torch.cat(self._columns[name]).double().mean().item()

    def metrics(self, failure_iterations: int) -> dict[str, Metric]:
        """The rates and means over all images.

        Args:
            failure_iterations: What an image without success counts for in the mean iterations.
        """
        count = sum(len(column) for column in self._columns["reached"])
        figures: dict[str, tuple[float, str]] = {}
        if self.judged:
            iterations = torch.cat(self._columns["iterations"])
            success = iterations >= 0
            figures["success_rate"] = (100.0 * success.double().mean().item(), "%")
            steps = torch.where(success, iterations, failure_iterations)
            figures["mean_iterations"] = (steps.double().mean().item(), "steps")
        if not self.untargeted:
            figures["targeted_success_rate"] = (self._mean("reached", 100), "%")
            figures["target_confidence_before"] = (self._mean("target_before", 100), "%")
            figures["target_confidence_after"] = (self._mean("target_after", 100), "%")
        figures["misclassification_rate"] = (self._mean("misclassified", 100), "%")
        figures["original_confidence_before"] = (self._mean("original_before", 100), "%")
        figures["original_confidence_after"] = (self._mean("original_after", 100), "%")
        figures["mean_linf"] = (self._mean("linf", 255), "/255")
        figures["mean_l2"] = (self._mean("l2"), "pixels")
        if self.passes.queries:
            figures["mean_queries"] = (self.passes.queries / count, "queries")
        return {name: Metric(value, unit, count) for name, (value, unit) in figures.items()}

    def counts(self) -> dict[str, int]:
        """Images attacked, those whose gradient was 0 in every step, and the passes that it took."""
        images = sum(len(column) for column in self._columns["reached"])
        return {
            "images": images,
            "zero_gradients": int(torch.cat(self._columns["flat"]).sum()),
            "forward": self.passes.forward,
            "backward": self.passes.backward,
            "queries": self.passes.queries,
        }

    @property
    def nothing_moved(self) -> bool:
        """Whether images took steps, and every step of each was 0."""
        flat, succeeded_at_once = torch.cat(self._columns["flat"]), torch.cat(self._columns["iterations"]) == 0
        return bool(flat.any()) and bool((flat | succeeded_at_once).all())

    def draw(self, path: Path, class_names: list[str]) -> None:
        """Draw the first images: clean, adversarial, and their difference."""
        from autovul.vision.attacks.evasion.pictures import draw_adversarial

        assert self._examples is not None
        draw_adversarial(path, *self._examples, class_names)
