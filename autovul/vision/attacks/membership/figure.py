"""The picture of membership inference."""

from __future__ import annotations

from pathlib import Path

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

    figure = Figure(figsize=(9, 4.4), layout="constrained")
    linear, logarithmic = figure.subplots(1, 2)
    for method, (inside, outside) in scores.items():
        false, true = roc(inside, outside)
        label = f"{method}: AUC {auc(inside, outside):.3f}"
        linear.step(false.numpy(), true.numpy(), where="post", label=label)
        logarithmic.step(false.clamp_min(LOWEST).numpy(), true.clamp_min(LOWEST).numpy(), where="post")
    for ax in (linear, logarithmic):
        ax.plot([LOWEST, 1], [LOWEST, 1], color="grey", linestyle=":", linewidth=1)
        ax.set_xlabel("false positive rate (non-members taken for members)")
        ax.set_ylabel("true positive rate (members found)")
    logarithmic.set(xscale="log", yscale="log", xlim=(LOWEST, 1), ylim=(LOWEST, 1))
    linear.legend(loc="lower right", fontsize=9)
    members, others = (len(side) for side in next(iter(scores.values())))
    figure.suptitle(f"Membership inference: {members} members, {others} non-members", fontsize=11)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
