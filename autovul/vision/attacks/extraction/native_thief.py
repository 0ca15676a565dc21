"""A thief trained by autovul, and the seed of it."""

from __future__ import annotations

import numpy as np
from torch import nn

from autovul.base.checkpoint import digest
from autovul.base.training.history import History
from autovul.vision.attacks.base import device_of
from autovul.vision.attacks.extraction.transfer_set import TransferSet
from autovul.vision.attacks.retraining import Retraining
from autovul.vision.datasets import ImageBatches


def thief_seed(seed: int) -> int:
    """The seed of the thief's weights and batches; with the run's own they would be those the victim began with."""
    return int(np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1)[0])


def train_thief(thief: nn.Module, transfer: TransferSet, retraining: Retraining, stem: str, *, anew: bool) -> History:
    """Train ``thief`` in place on a transfer set's answers.

    Args:
        thief: A fresh network.
        transfer: Images and answers.
        retraining: The recipe, its seed and files.
        stem: Of the files' names.
        anew: Whether the images are varied in each epoch.
    """
    batches = ImageBatches(
        transfer.images,
        transfer.answers,
        retraining.setup.batch_size,
        device_of(thief),
        seed=retraining.setup.seed,
        augment=retraining.augmentation if anew else None,
    )
    learnt = {"images": transfer.images, "answers": transfer.answers}
    return retraining.fit(thief, batches, stem, identity={"transfer": digest(learnt)})
