"""How well a trigger works on a network, and what else the network does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autovul.base.errors import UserError
from autovul.base.metrics import require_finite
from autovul.vision.attacks.backdoor.batches import PLACE_STREAM
from autovul.vision.attacks.backdoor.neurons import FINAL, Neurons
from autovul.vision.attacks.base import device_of, untouched
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.batches import generator_of
from autovul.vision.marks import Trigger
from autovul.vision.models.quick import quick


@dataclass(frozen=True)
class Measurement:
    """A network on the validation split, clean and triggered.

    Attributes:
        accuracy: On clean images, percent.
        success: Share of triggered images of other classes that are given the target class, percent.
        success_all: The same over all images, those of the target class included, percent.
        confidence: Mean confidence in the target class on successes (of other classes), percent; None without any.
        jaccard: Jaccard index of the most active half of the final features with and without trigger; None for a
            network without such features.
        count: Images of other classes.
        count_all: All images.
        clean_predictions, triggered_predictions: (N,), classes.
    """

    accuracy: float
    success: float
    success_all: float
    confidence: float | None
    jaccard: float | None
    count: int
    count_all: int
    clean_predictions: Tensor
    triggered_predictions: Tensor


def measure(
    model: nn.Module, dataset: ImageDataset, trigger: Trigger, target: int, *, batch_size: int, seed: int
) -> Measurement:
    """Judge ``model`` on every validation image with and without trigger, in one pass.

    Args:
        model: Left as it was.
        dataset: Its validation split is used.
        trigger: On any device.
        target: The target class.
        batch_size: Images of a forward pass.
        seed: Of random places.

    Raises:
        NonFiniteOutput: The model gives NaN.
        UserError: No validation image is of another class than the target.
    """
    device = device_of(model)
    trigger = trigger.to(device)
    labels = dataset.valid.labels.cpu()
    others = labels != target
    if not bool(others.any()):
        raise UserError(f"{dataset.name}: no validation image is of another class than the target, {target}")
    places = trigger.draw_places(len(labels), generator_of(seed, PLACE_STREAM))
    logits: tuple[list[Tensor], list[Tensor]] = ([], [])
    sums: list[list[Tensor]] = [[], []]
    has_features = Neurons.hears(model)
    asked, heard = quick(model), FINAL if has_features else "logits"
    with untouched(asked), torch.no_grad(), Neurons(asked, heard) as neurons:
        batches = dataset.valid_batches(batch_size, device).epoch(0)
        for (images, _), there in zip(batches, places.split(batch_size), strict=True):
            for kind, shown in enumerate((images, trigger.apply(images, places=there))):
                output, activations = neurons(shown)
                logits[kind].append(output)
                sums[kind].append(activations.double().sum(0))
    clean, triggered = (require_finite(torch.cat(parts)).cpu() for parts in logits)
    hit = triggered.argmax(1) == target
    confidence = triggered.softmax(1)[hit & others, target]
    return Measurement(
        accuracy=_percent(clean.argmax(1) == labels),
        success=_percent(hit[others]),
        success_all=_percent(hit),
        confidence=100 * confidence.double().mean().item() if len(confidence) else None,
        jaccard=jaccard_of_top_half(*(torch.stack(parts).sum(0) for parts in sums)) if has_features else None,
        count=int(others.sum()),
        count_all=len(labels),
        clean_predictions=clean.argmax(1),
        triggered_predictions=triggered.argmax(1),
    )


def jaccard_of_top_half(first: Tensor, second: Tensor) -> float:
    """|A ∩ B| / |A ∪ B|, where A and B are the places of the ⌊F/2⌋ (at least 1) largest entries of two vectors (F,).

    Of equal entries, such as those of dead neurons, the first count as larger.
    """
    count = max(len(first) // 2, 1)
    a, b = (set(vector.sort(descending=True, stable=True).indices[:count].tolist()) for vector in (first, second))
    return len(a & b) / len(a | b)


def _percent(hits: Tensor) -> float:
    return 100 * hits.double().mean().item()
