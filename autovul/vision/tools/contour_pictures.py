"""Loss contours as pictures and as numbers, several networks side by side on one scale."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autovul.base.atomic import whole_file
from autovul.vision.tools.loss_contour import LossContour

LEVELS = 24
COLUMNS = 4  # networks in a row, at most


def save_contours(path: Path, contours: Mapping[str, LossContour]) -> None:
    """Write the numbers as ``.npz``: for each network ``{name}/loss`` (alphas, betas), its axes and its centre."""
    arrays: dict[str, Any] = {}
    for name, contour in contours.items():
        arrays[f"{name}/loss"] = contour.loss.numpy()
        arrays[f"{name}/alphas"] = np.array(contour.alphas)
        arrays[f"{name}/betas"] = np.array(contour.betas)
        arrays[f"{name}/center"] = np.array(contour.center)
    with whole_file(path) as file:
        np.savez(file, **arrays)


def draw_contours(path: Path, contours: Mapping[str, LossContour]) -> None:
    """Draw level lines of all networks, one picture each, with one colour scale for all, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    low, high = _scale(contours)
    levels = np.linspace(low, high, LEVELS + 1)
    rows, columns = layout(len(contours))
    figure = Figure(figsize=(3.1 * columns + 1.2, 3.3 * rows + 0.9), layout="constrained")
    figure.suptitle(f"{_title(contours, columns)}\n", fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    filled = None
    for ax, (name, contour) in zip(axes.flat, contours.items(), strict=False):
        # The first index, α, belongs on the horizontal axis; matplotlib wants it last.
        plane = (contour.alphas, contour.betas, contour.loss.numpy().T)
        filled = ax.contourf(*plane, levels=levels, cmap="viridis")
        ax.contour(*plane, levels=levels[::2], colors="white", linewidths=0.5, alpha=0.6)
        ax.plot(0, 0, marker="+", color="white", markersize=9, markeredgewidth=1.4)
        ax.set_title(f"{name}\nloss at the centre {contour.center:.3g}", fontsize=9)
        ax.set_box_aspect(1)
        ax.tick_params(labelsize=8, labelbottom=True)  # below it there may be no other
    for ax in axes.flat[len(contours) :]:
        ax.remove()
    figure.supxlabel("α", fontsize=10)
    figure.supylabel("β", fontsize=10)
    assert filled is not None
    bar = figure.colorbar(filled, ax=[*axes.flat[: len(contours)]], shrink=0.9, pad=0.02, ticks=MaxNLocator(8))
    bar.set_label("cross entropy [nats]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    _save(figure, path)


def draw_surfaces(path: Path, contours: Mapping[str, LossContour]) -> None:
    """Draw the same as surfaces, with one height for all, as PNG."""
    from matplotlib.figure import Figure

    low, high = _scale(contours)
    rows, columns = layout(len(contours))
    figure = Figure(figsize=(4.2 * columns, 3.8 * rows + 0.4), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": "3d"})
    for ax, (name, contour) in zip(axes.flat, contours.items(), strict=False):
        alphas, betas = np.meshgrid(contour.alphas, contour.betas, indexing="ij")
        ax.plot_surface(
            alphas, betas, contour.loss.numpy(), cmap="viridis", vmin=low, vmax=high, rcount=60, ccount=60,
            edgecolor=(0, 0, 0, 0.15), linewidth=0.2,
        )  # fmt: skip
        ax.set_zlim(low, high)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("α", fontsize=9)
        ax.set_ylabel("β", fontsize=9)
        ax.tick_params(labelsize=7, pad=0)
        ax.view_init(elev=28, azim=-55)
    for ax in axes.flat[len(contours) :]:
        ax.remove()
    figure.suptitle(_title(contours, columns, " [nats]"), fontsize=10)
    _save(figure, path)


def _scale(contours: Mapping[str, LossContour]) -> tuple[float, float]:
    low = min(contour.loss.min().item() for contour in contours.values())
    high = max(contour.loss.max().item() for contour in contours.values())
    return low, max(high, low + 1e-6)  # a flat loss still needs a scale


def layout(count: int) -> tuple[int, int]:
    """Rows and columns; the last row is as full as the others allow."""
    rows = -(-count // COLUMNS)
    return rows, -(-count // rows)


def _title(contours: Mapping[str, LossContour], columns: int, unit: str = "") -> str:
    contour = next(iter(contours.values()))
    names = {each.parameter for each in contours.values()}
    # Weights that were named have one name in all networks; first convolutions mostly have several.
    weights = names.pop() if len(names) == 1 else "the first convolution's weights"
    what = weights if contour.space == "parameter" else "the input"
    title = f"Loss around {what}, mean over {contour.samples} images{unit}"
    return textwrap.fill(title, 40 * columns)  # about what a column's width holds


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
