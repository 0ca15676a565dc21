"""Pictures of a trigger, and of images with and without it."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.vision.attacks.backdoor.batches import PLACE_STREAM
from autovul.vision.attacks.backdoor.measure import Measurement
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.batches import generator_of
from autovul.vision.datasets.facts import class_name
from autovul.vision.marks import Trigger

EXAMPLES = 8


def draw_trigger(path: Path, trigger: Trigger) -> None:
    """Write the trigger as a PNG of the images' size, transparent where images show through."""
    from PIL import Image

    height, width = trigger.size
    colours = trigger.alone()[0].expand(3, -1, -1) if len(trigger.mark) == 1 else trigger.alone()[0]
    covered = torch.zeros(height * width, dtype=trigger.opacity.dtype)
    covered[trigger.places.cpu()] = trigger.opacity.flatten().cpu()
    # The mark alone lies on black in proportion to its mask; a picture's colours are those without the black.
    mask = torch.zeros(height * width, dtype=trigger.mask.dtype)
    mask[trigger.places.cpu()] = trigger.mask.flatten().cpu()
    colours = colours.detach().cpu() / mask.view(height, width).clamp_min(1e-6)
    bands = torch.cat([colours.clamp(0, 1), covered.view(1, height, width)])
    pixels = (bands * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    with whole_file(path) as file:
        file.write(content.getvalue())


def draw_examples(
    path: Path, trigger: Trigger, dataset: ImageDataset, found: Measurement, target: int, seed: int
) -> None:
    """Draw the trigger by itself, and validation images of other classes with and without it.

    Args:
        path: The PNG file to write.
        trigger: What is put onto the images.
        dataset: Gives the images and the classes' names.
        found: What the backdoored network says of them.
        target: The target class.
        seed: Of random places, as for the measurement.
    """
    from matplotlib.figure import Figure

    trigger, names = trigger.to("cpu"), dataset.class_names
    labels = dataset.valid.labels.cpu()
    places = trigger.draw_places(len(labels), generator_of(seed, PLACE_STREAM))
    chosen = (labels != target).nonzero().squeeze(1)[:EXAMPLES]
    clean = dataset.valid.pixels(chosen)
    marked = trigger.apply(clean, places=places[chosen]).detach()
    figure = Figure(figsize=(1.25 * (len(chosen) + 1) + 0.6, 3.9), layout="constrained")
    axes = figure.subplots(2, len(chosen) + 1, squeeze=False)
    alone = trigger.apply(torch.full((1, *clean.shape[1:]), 0.5), places=trigger.places)[0].detach()
    rows = (
        ("clean", torch.ones_like(alone), clean, found.clean_predictions),
        ("triggered", alone, marked, found.triggered_predictions),
    )
    for line, (name, first, images, predictions) in zip(axes, rows, strict=True):
        _show(line[0], first, "the trigger\non grey" if name == "triggered" else "")
        line[0].set_ylabel(name, fontsize=9)
        line[0].set_frame_on(name == "triggered")
        for ax, image, index in zip(line[1:], images, chosen.tolist(), strict=True):
            given = int(predictions[index])
            success = name == "triggered" and given == target
            _show(ax, image, f"{names[labels[index]]}\n→ {class_name(names, given)}", success)
    figure.suptitle(
        f"class → what the backdoored network says; red: the trigger succeeds; target class: {names[target]}",
        fontsize=9,
    )
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _show(ax: object, image: Tensor, title: str, success: bool = False) -> None:
    ax.imshow(image.permute(1, 2, 0).squeeze(2).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)  # type: ignore[attr-defined]
    ax.set_title(title, fontsize=8, color="#c1121f" if success else "black")  # type: ignore[attr-defined]
    ax.set_xticks([])  # type: ignore[attr-defined]
    ax.set_yticks([])  # type: ignore[attr-defined]
