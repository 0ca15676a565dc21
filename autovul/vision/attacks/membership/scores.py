"""Scores of membership: the larger, the more likely an image was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from autovul.base.metrics import auc, auc_interval, tpr_at_fpr

LOW_FPR = 0.01


def baseline(method: str, logits: Tensor, labels: Tensor) -> Tensor:
    """A score from one look at the model's answer, (N,), on the CPU.

    - confidence: the largest probability;
    - entropy: Σ p log p, the negative entropy;
    - loss: log p of the true class, the negative loss.

    Args:
        method: One of the three.
        logits: (N, classes).
        labels: (N,), true classes.

    Source: Salem et al. (arXiv 1806.01246), section 5, for the first two; Yeom et al. (arXiv 1709.01604), section 3,
    for the loss.
    """
    log_probabilities = logits.double().log_softmax(1).cpu()
    match method:
        case "confidence":
            return log_probabilities.amax(1).exp()
        case "entropy":
            return (log_probabilities.exp() * log_probabilities).sum(1)
        case "loss":
            return -functional.nll_loss(log_probabilities, labels.cpu(), reduction="none")
    raise ValueError(f"method must be confidence, entropy or loss, got {method!r}")


@dataclass(frozen=True)
class Score:
    """One method's scores of all images.

    Args:
        method: Its name.
        values: (N,), on the CPU.
        valid: (N,), whether the method found a score for the image; the others are kept out of every figure.
    """

    method: str
    values: Tensor
    valid: Tensor

    def sides(self, member: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of members and of non-members."""
        return self.values[member & self.valid], self.values[~member & self.valid]

    def figures(self, member: Tensor, seed: int) -> dict[str, float | None]:
        """AUC with members positive, its interval at 95 %, the mirrored one, and the rate at 1 % false positives."""
        inside, outside = self.sides(member)
        area = auc(inside, outside)
        low, high = auc_interval(inside, outside, seed=seed)
        return {
            "auc": area,
            "auc_low": low,
            "auc_high": high,
            "auc_mirrored": max(area, 1 - area),
            "tpr_at_1_fpr": tpr_at_fpr(inside, outside, LOW_FPR),
        }
