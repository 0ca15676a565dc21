"""The images that attacks on single images begin with: those that the network gets right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autovul.base.errors import UserError
from autovul.base.memory import in_parts
from autovul.base.metrics import require_finite
from autovul.vision.attacks.base import ask, device_of, require_all_classes, untouched
from autovul.vision.datasets.splits import count_or_all, legacy_shuffle

if TYPE_CHECKING:
    from autovul.vision.datasets import ImageDataset


def correctly_classified(
    model: nn.Module,
    dataset: ImageDataset,
    number: int,
    *,
    exact: bool,
    seed: int,
    batch_size: int,
    left_out: Sequence[int] = (),
    purpose: str = "attack",
) -> tuple[Tensor, Tensor, Tensor, int]:
    """The first correctly classified images of the 30 % split in a seeded order, all on the CPU.

    Args:
        model: Is asked for no more images than it takes.
        dataset: Gives the images.
        number: How many.
        exact: Whether fewer are an error.
        seed: Of the order.
        batch_size: Images of a forward pass, at most.
        left_out: Classes of which no image is taken.
        purpose: What they are for, in a message.

    Returns:
        Images, labels, the model's logits, and of how many images it was asked for that.

    Raises:
        UserError: There are fewer, or none.
        NonFiniteOutput: The model gives NaN.
    """
    split, device = dataset.attack_split(), device_of(model)
    order = legacy_shuffle(len(split), seed)
    for label in left_out:
        order = order[split.labels[order] != label]
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    found, asked = 0, 0
    for index in order.split(batch_size) if len(order) else ():
        if found >= number:
            break
        pixels, labels = split.pixels(index), split.labels[index]
        with untouched(model), torch.no_grad():
            parts = in_parts(lambda part: ask(model, part.to(device)).cpu(), (pixels,), batch_size, device)
            logits = require_all_classes(require_finite(torch.cat([*parts])), dataset)
        right = logits.argmax(1) == labels
        kept.append((pixels[right], labels[right], logits[right]))
        found += int(right.sum())
        asked += len(pixels)
    try:
        count = count_or_all(number, found, exact=exact, what=f"correctly classified images to {purpose}")
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error} (in 30 % of the validation split)") from None
    images, labels, logits = (torch.cat(tensors)[:count] for tensors in zip(*kept, strict=True))
    return images, labels, logits, asked
