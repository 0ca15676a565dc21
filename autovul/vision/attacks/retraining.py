"""Training that is part of an attack: by which recipe, and with which files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from autovul.base.checkpoint import digest
from autovul.base.metrics import NonFiniteOutput
from autovul.base.progress import Progress
from autovul.base.trainer import Trainer
from autovul.base.training.evaluation import Batches, Step, evaluate
from autovul.base.training.history import History
from autovul.base.training.options import TrainingOptions
from autovul.base.training.precision import effective_precision
from autovul.vision.attacks.base import Attack, Setup, device_of
from autovul.vision.datasets import Augmentation, ImageDataset
from autovul.vision.models.quick import quick


def training_options(attack: Attack, setup: Setup) -> TrainingOptions:
    """The setup's recipe, or the attack's own where the setup leaves it open."""
    if setup.training is not None:
        return setup.training
    return TrainingOptions(**{n: v for n, v in attack.recipe.items() if n in TrainingOptions.model_fields})


def augmentation(attack: Attack, setup: Setup, dataset: ImageDataset) -> Augmentation:
    """The setup's augmentation, or crop and mirroring and what else the attack's recipe asks for."""
    if setup.augmentation is not None:
        return setup.augmentation
    length = attack.recipe.get("cutout_length", dataset.data_shape[1] // 2)
    return Augmentation(
        flip=dataset.flip,
        auto_augment=attack.recipe.get("auto_augment", False),
        cutout_length=length if attack.recipe.get("cutout") else None,
    )


def made_with(attack: Attack, setup: Setup, dataset: ImageDataset) -> dict[str, Any]:
    """What a training depends on besides the attack's own options, by the names of the commands' flags."""
    training, varied = training_options(attack, setup), augmentation(attack, setup, dataset)
    return {
        **training.recipe(),
        "precision": training.wanted_precision,
        "batch_size": setup.batch_size,
        "no_flip": not varied.flip,
        **({} if varied.padding == Augmentation.padding else {"padding": varied.padding}),  # the commands' is fixed
        "auto_augment": varied.auto_augment,
        "cutout": varied.cutout_length is not None,
        "cutout_length": varied.cutout_length,
    }


@dataclass(frozen=True)
class Retraining:
    """Trains models within one attack.

    Args:
        attack: Whose recipe is followed.
        dataset: Where the images come from; its validation split judges.
        setup: Seed, recipe, folder and progress.
    """

    attack: Attack
    dataset: ImageDataset
    setup: Setup

    @property
    def options(self) -> TrainingOptions:
        """The recipe."""
        return training_options(self.attack, self.setup)

    @property
    def augmentation(self) -> Augmentation:
        """How training images are varied."""
        return augmentation(self.attack, self.setup, self.dataset)

    def precision(self, model: nn.Module) -> str:
        """The arithmetic in which a model is trained where it lies."""
        return effective_precision(self.options.wanted_precision, device_of(model), model)

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        stem: str,
        *,
        step: Step | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> History:
        """Train ``model`` in place.

        Args:
            model: What is trained.
            batches: What it is trained on.
            stem: Name of the log and of the state from which ``--resume`` goes on, each in the setup's folder for it.
            step: The loss of a batch, where it is not plain cross entropy.
            identity: What the weights depend on besides recipe, attack, data and initial weights.
        """
        setup, device = self.setup, device_of(model)
        state_path = _inside(setup.folder, f"{stem}.state") if self.options.save else None
        trainer = Trainer(
            self.options,
            device=device,
            seed=setup.seed,
            state_path=state_path,
            log_path=_inside(setup.log_folder, f"{stem}.jsonl"),
            step=step,
            auxiliary_weight=getattr(model, "auxiliary_weight", 0.4),
            # Hashing takes its time, and only a state asks what it belongs to.
            identity=None if state_path is None else {**self._identity(model), **(identity or {})},
            progress=Progress("auto" if setup.progress else "off"),
        )
        return trainer.fit(model, batches, self.dataset.valid_batches(setup.valid_batch, device))

    def _identity(self, model: nn.Module) -> dict[str, Any]:
        return {
            "attack": self.attack.name,
            **self.attack.model_dump(mode="json"),
            "augmentation": repr(self.augmentation),
            "batch_size": self.setup.batch_size,
            "data": self.dataset.sha256,
            "start": digest(model.state_dict()),
        }

    def finish(self, stem: str) -> None:
        """Take away the state from which a resume would go on."""
        if (path := _inside(self.setup.folder, f"{stem}.state")) is not None:
            path.unlink(missing_ok=True)


def _inside(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def clean_accuracy(model: nn.Module, dataset: ImageDataset, batch_size: int) -> float:
    """Accuracy on the validation split, in percent.

    Raises:
        NonFiniteOutput: The model gives NaN, of which no accuracy may be told.
    """
    found = evaluate(quick(model), dataset.valid_batches(batch_size, device_of(model)))
    if not math.isfinite(found.loss):
        raise NonFiniteOutput("the model's logits are not finite: the network has diverged")
    return 100 * found.accuracy
