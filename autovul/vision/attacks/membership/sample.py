"""Which training images (members) and validation images (non-members) membership inference is tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autovul.base.errors import UserError
from autovul.vision.attacks.victim import Victim
from autovul.vision.datasets import Augmentation, ImageDataset, ImageSplit, to_pixels
from autovul.vision.datasets.batches import generator_of

FEWEST = 10  # images a side where nobody asked for a number: an AUC of less says nothing
CHUNK = 1024


@dataclass(frozen=True)
class Sample:
    """The images of one experiment, members first.

    Args:
        images: (N, C, H, W), float32 in [0, 1].
        labels: (N,), true classes.
        member: (N,), whether the image was trained on.
        index: (N,), its place in its split.
    """

    images: Tensor
    labels: Tensor
    member: Tensor
    index: Tensor


@dataclass(frozen=True)
class SampleRule:
    """How members and non-members are chosen: as in the artifact, by NumPy's legacy generator.

    It shuffles the training images first and then the validation images that pass the filter; of each the first are
    taken.

    Args:
        number: Images a side.
        exact: Whether so many must exist; if not, all are taken where there are fewer.
        band: Least and greatest confidence in the predicted class that passes the filter.
        filtered: Whether the filter applies to members and to non-members.
        seed: Of the shuffles.
    """

    number: int
    exact: bool
    band: tuple[float, float]
    filtered: tuple[bool, bool]
    seed: int

    def draw(self, victim: Victim, dataset: ImageDataset, vary: Augmentation | None, seed: int) -> Sample:
        """Choose the images.

        Args:
            victim: Whose confidence the filter asks for.
            dataset: Training split for members, validation split for non-members.
            vary: How members are varied before the attack; None: not at all.
            seed: Of that variation.

        Raises:
            UserError: There are too few; the message gives the counts and how to widen the filter.
        """
        generator = np.random.RandomState(self.seed)
        sides = (("training", dataset.train), ("validation", dataset.valid))
        chosen = []
        for (name, split), filtered in zip(sides, self.filtered, strict=True):
            passing = self._filter(victim, split, name) if filtered else torch.arange(len(split))
            count = self._count(len(passing), f"{name} images")
            order = passing.numpy().copy()
            generator.shuffle(order)
            chosen.append(torch.from_numpy(order[:count]))
        members, others = (split.subset(index) for (_, split), index in zip(sides, chosen, strict=True))
        images = members.images
        if vary is not None:  # each by numbers of its own, so that it does not depend on the others
            each = zip(images, chosen[0].tolist(), strict=True)
            images = torch.cat([vary(image[None], generator_of(seed, index)) for image, index in each])
        return Sample(
            to_pixels(torch.cat([images, others.images])),
            torch.cat([members.labels, others.labels]),
            torch.arange(len(members) + len(others)) < len(members),
            torch.cat(chosen),
        )

    def _filter(self, victim: Victim, split: ImageSplit, name: str) -> Tensor:
        """Places of the images whose top confidence lies in the band."""
        low, high = self.band
        chunks = [victim.logits(split.pixels(index)) for index in torch.arange(len(split)).split(CHUNK)]
        confidence = torch.cat([logits.double().softmax(1).amax(1).cpu() for logits in chunks])
        passing = ((confidence >= low) & (confidence <= high)).nonzero().squeeze(1)
        if len(passing) < self._needed:
            wider = int((confidence >= 0.9).sum())
            held = f"--confidence_band 0.9,1 would hold {wider} of them, " if wider >= self._needed else ""
            raise UserError(
                f"{len(passing)} of {len(split)} {name} images have a top confidence in [{low:.8g}, {high:.8g}], "
                f"{self._needed} are needed: {held}--confidence_filter none takes all"
            )
        return passing

    @property
    def _needed(self) -> int:
        return self.number if self.exact else min(self.number, FEWEST)

    def _count(self, available: int, what: str) -> int:
        if available < self._needed:
            least = "" if self._needed == self.number else f" (and at least {self._needed} needed)"
            raise UserError(f"sample_num: {self.number} {what} wanted{least}, {available} there")
        return min(self.number, available)
