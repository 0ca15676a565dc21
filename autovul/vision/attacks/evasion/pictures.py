"""Pictures of attacked images."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.vision.datasets.facts import class_name


def draw_adversarial(
    path: Path, clean: Tensor, adversarial: Tensor, labels: Tensor, prediction: Tensor, class_names: list[str]
) -> None:
    """Draw images before and after an attack, with their difference scaled so that grey is no change.

    Args:
        path: The PNG file to write.
        clean, adversarial: (N, C, H, W), in [0, 1].
        labels: (N,), true classes.
        prediction: (N,), what the model says of the adversarial images.
        class_names: The classes by name.
    """
    from matplotlib.figure import Figure

    offset = adversarial - clean
    largest = max(float(offset.abs().max()), 1e-12)
    rows = {
        "clean": clean,
        "adversarial": adversarial,
        f"difference\n(full scale ±{largest * 255:.3g}/255)": 0.5 + 0.5 * offset / largest,
    }
    figure = Figure(figsize=(1.3 * len(clean) + 1.2, 4.6), layout="constrained")
    axes = figure.subplots(len(rows), len(clean), squeeze=False)
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(title, fontsize=9)
        for ax, image in zip(line, images, strict=True):
            # Of four channels and more the first three are drawn, of two their mean.
            shown = image[:3] if len(image) >= 3 else image.mean(0, keepdim=True)
            ax.imshow(shown.permute(1, 2, 0).squeeze(2).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set_xticks([])
            ax.set_yticks([])
    for ax, label, guess in zip(axes[0], labels.tolist(), prediction.tolist(), strict=True):
        ax.set_title(f"{class_names[label]}\n→ {class_name(class_names, guess)}", fontsize=9)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_distances(path: Path, distances: Tensor, median: float, unit: str) -> None:
    """Draw how many images have an adversarial example within each distance.

    Args:
        path: The PNG file to write.
        distances: (n,), sorted; infinite where none was found.
        median: Of the distances, infinite where fewer than half of them are finite.
        unit: Of the distances.
    """
    from matplotlib.figure import Figure

    count, found = len(distances), distances[distances.isfinite()]
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    percent = 100 * torch.arange(len(found) + 1) / count
    ax.step(torch.cat([found.new_zeros(1), found]).numpy(), percent.numpy(), where="post")
    if math.isfinite(median):
        ax.plot([0, median, median], [50, 50, 0], color="grey", linestyle=":", linewidth=1)
        ax.annotate(f"median {median:.3g}{'' if unit.startswith('/') else ' '}{unit}", (median, 50), (6, -12),
                    textcoords="offset points", fontsize=9)  # fmt: skip
    norm = "L∞" if unit == "/255" else "L2"
    ax.set(xlim=(0, None), ylim=(0, 102), xlabel=f"{norm} distance, {unit}")
    ax.set_ylabel("images with an adversarial example, %")
    ax.set_title(f"Distance to the nearest adversarial example ({count:,} images)", fontsize=11)
    ax.grid(alpha=0.3)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
