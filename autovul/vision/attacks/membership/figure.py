"""The picture of membership inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.base.metrics import auc, roc

LOWEST = 1e-3  # where the logarithmic axis begins


def draw_roc(path: Path, scores: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Draw each method's ROC curve, members positive, on linear and on logarithmic axes.

    Args:
        path: The PNG file to write.
        scores: For each method the scores of members and of non-members.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.8), layout="constrained")
    linear, logarithmic = figure.subplots(1, 2)
    # Curves may coincide: the first drawn is the widest, so that it shows beneath the others.
    for place, (method, (inside, outside)) in enumerate(scores.items()):
        false, true = roc(inside, outside)
        style: dict[str, Any] = {"where": "post", "linewidth": 1.5 + 0.9 * (len(scores) - 1 - place)}
        label = f"{method}: AUC {auc(inside, outside):.3f} ({len(inside)} + {len(outside)})"
        linear.step(false.numpy(), true.numpy(), label=label, **style)
        logarithmic.step(false.clamp_min(LOWEST).numpy(), true.clamp_min(LOWEST).numpy(), **style)
    for ax in (linear, logarithmic):
        ax.plot([LOWEST, 1], [LOWEST, 1], color="grey", linestyle=":", linewidth=1)
        ax.set_box_aspect(1)
        ax.set_xlabel("false positive rate (non-members taken for members)")
        ax.set_ylabel("true positive rate (members found)")
    logarithmic.set(xscale="log", yscale="log", xlim=(LOWEST, 1), ylim=(LOWEST, 1))
    figure.legend(loc="outside lower center", ncols=min(len(scores), 2), fontsize=9, frameon=False)
    figure.suptitle("Membership inference (images: members + non-members)", fontsize=11)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
