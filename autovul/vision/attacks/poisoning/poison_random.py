"""Untargeted poisoning: a network trained from scratch on data of which a part is labelled wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from autovul.base import environ
from autovul.base.checkpoint import save_state
from autovul.base.errors import UserError
from autovul.base.options import OptionError, option
from autovul.base.result import Metric, Result
from autovul.base.training.evaluation import Batches
from autovul.base.training.history import History, total
from autovul.base.training.random_state import preserved_random_state
from autovul.vision.attacks.base import Attack, Setup, device_of, registry, require_fitting
from autovul.vision.attacks.poisoning.labels import FreshlyPoisonedBatches, LabelPoison
from autovul.vision.attacks.record import record
from autovul.vision.attacks.retraining import Retraining
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.splits import least_fraction
from autovul.vision.models.fresh import fresh

Fraction = Annotated[float, Field(ge=0, le=1)]


@registry.register("poison_random")
class PoisonRandom(Attack):
    r"""Random label flips.

    Of N training images k = ⌊N · p⌋ get a label drawn uniformly from the other classes, in place of their own; a fresh
    network of the given architecture is trained on the result. What it costs is the accuracy on clean images:

    .. math:: \text{drop}(p) = \text{accuracy}(0) - \text{accuracy}(p)

    All fractions of a run start from the same weights and see the same batches and augmentation.

    Source: Pang et al., On the Security Risks of AutoML (2022), section 3.2.2 and figure 6.
    Deviations from the artifact: poisoned images are augmented anew in each epoch like all others, not once; several
    fractions in one run; what was poisoned is recorded.
    """

    experiment: ClassVar[str] = "poison"
    name: ClassVar[str] = "poison_random"
    recipe: ClassVar[Mapping[str, Any]] = {
        "epoch": 50,
        "lr_scheduler": True,
        "grad_clip": 5.0,
        "cutout": True,
        "validate_interval": 1,
    }

    poison_percent: Fraction | tuple[Fraction, ...] = option(
        0.01,
        "Fraction of the training images with a wrong label, rounded down; a list (0,0.1,0.2,0.4) trains one network "
        "for each, and with 0 among them gives the drop in accuracy.",
    )
    train_mode: Literal["batch", "dataset"] = option(
        "batch", "Draw wrong labels anew in every batch, or once for the whole run."
    )
    export_poisoned: str | None = option(
        None, "Write the poisoned data set to this .npz file (train_mode dataset, one fraction above 0).", min_length=1
    )

    @field_validator("poison_percent")
    @classmethod
    def _distinct(cls, value: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            raise ValueError(
                f"must be one fraction or several different ones, got {','.join(map(str, value)) or 'none'}"
            )
        return value

    @model_validator(mode="after")
    def _exportable(self) -> PoisonRandom:
        if self.export_poisoned is not None:
            if self.train_mode != "dataset":
                raise ValueError("export_poisoned needs train_mode dataset: batch draws other labels for every batch")
            if sum(fraction > 0 for fraction in self.fractions) != 1:
                raise ValueError(f"export_poisoned needs one fraction above 0 in poison_percent, got {self.fractions}")
        return self

    @property
    def fractions(self) -> tuple[float, ...]:
        """What is poisoned, one fraction a network."""
        return self.poison_percent if isinstance(self.poison_percent, tuple) else (self.poison_percent,)

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Train a fresh network of the model's architecture for every fraction and validate it on clean images.

        Args:
            model: Gives the architecture; its weights are not used. See `autovul.vision.models.fresh.fresh`.
            dataset: Its training labels are flipped; its validation split judges.
            setup: The seed determines initial weights, order, augmentation, which images and which labels. With a
                folder, ``poisoned_{percent}.json`` there records indices and labels, and the weights are kept
                unless training says otherwise.

        Returns:
            ``clean_accuracy`` (last epoch) and ``best_clean_accuracy`` in percent or, for several fractions, each
            with the percentage in its name; with 0 among them ``accuracy_drop_…`` in points, and ``accuracy_drop``,
            their mean. ``series`` has the course of each training.

        Raises:
            UserError: A fraction above 0 rounds to no image, the architecture cannot be built anew, or the model has
                fewer logits than there are classes.
        """
        require_fitting(model, dataset)
        poisons = {fraction: self._draw(dataset, fraction, setup.seed) for fraction in self.fractions}
        device, work = device_of(model), Retraining(self, dataset, setup)
        files: dict[str, str] = {}
        histories: dict[float, History] = {}
        with environ.measure(device, "training") as cost:
            for fraction, poison in poisons.items():
                stem = f"poisoned_{_percent(fraction)}"
                with preserved_random_state(device):
                    environ.seed_everything(setup.seed)
                    network = fresh(model).to(device)
                batches = self._batches(poison, work, device)
                histories[fraction] = work.fit(network, batches, stem, identity=self._identity(fraction))
                files.update(self._save(network, histories[fraction], poison, work, stem))
        for fraction in histories:
            work.finish(f"poisoned_{_percent(fraction)}")
        if self.export_poisoned is not None:
            max(poisons.values(), key=lambda poison: poison.fraction).export(dataset, Path(self.export_poisoned))
            files["poisoned data set"] = self.export_poisoned
        lost = [fraction for fraction, history in histories.items() if history.status != "ok"]
        return record(
            self,
            model,
            dataset,
            setup,
            status="diverged" if lost else "ok",
            message=f"the training at fraction {', '.join(map(str, lost))} diverged" if lost else "",
            metrics=_metrics(histories, len(dataset.valid)),
            series=_series(histories),
            counts={"training_images": len(dataset.train), **_counts(poisons), **total(histories.values())},
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            environment={"precision": histories[self.fractions[0]].precision},
            files=files,
        )

    def _draw(self, dataset: ImageDataset, fraction: float, seed: int) -> LabelPoison:
        if dataset.num_classes < 2:
            raise UserError(f"{dataset.name}: a wrong label needs at least 2 classes, there is {dataset.num_classes}")
        poison = LabelPoison.draw(dataset, fraction, seed)
        if fraction and not len(poison.indices):
            raise OptionError(
                f"poison_percent: {fraction} of {len(dataset.train)} training images rounds down to none; "
                f"give 0, or at least {least_fraction(len(dataset.train)):.2g}"
            )
        return poison

    def _batches(self, poison: LabelPoison, work: Retraining, device: torch.device) -> Batches:
        setup, fixed = work.setup, self.train_mode == "dataset"
        dataset = poison.apply(work.dataset) if fixed else work.dataset
        batches = dataset.train_batches(setup.batch_size, device, setup.seed, work.augmentation)
        return batches if fixed else FreshlyPoisonedBatches(batches, dataset.num_classes, poison.fraction, setup.seed)

    def _identity(self, fraction: float) -> dict[str, Any]:
        """What a training depends on: its own fraction, and neither the others nor where the data are exported to."""
        return {"poison_percent": fraction, "export_poisoned": None}

    def _save(
        self, network: nn.Module, history: History, poison: LabelPoison, work: Retraining, stem: str
    ) -> dict[str, str]:
        folder = work.setup.folder
        files: dict[str, str] = {}
        if folder is None:
            return files
        percent = f"{100 * poison.fraction:g} %"
        if self.train_mode == "dataset" and len(poison.indices):
            poison.save(folder / f"{stem}.json")
            files[f"wrong labels at {percent}"] = str(folder / f"{stem}.json")
        if work.options.save and history.status == "ok":
            save_state(folder / f"{stem}.pth", network.state_dict())
            files[f"weights at {percent}"] = str(folder / f"{stem}.pth")
        return files


def _percent(fraction: float) -> str:
    """A fraction as part of a name: 0.1 is ``10pct``, 0.015 is ``1_5pct``."""
    return f"{100 * fraction:g}pct".replace(".", "_")


def _metrics(histories: Mapping[float, History], count: int) -> dict[str, Metric]:
    good = {fraction: history for fraction, history in histories.items() if history.status == "ok"}
    last = {fraction: 100 * (history.last_accuracy or 0.0) for fraction, history in good.items()}
    metrics = {}
    if 0 in last and len(last) > 1:
        drops = {fraction: last[0] - accuracy for fraction, accuracy in last.items() if fraction}
        if len(good) == len(histories):
            metrics["accuracy_drop"] = Metric(sum(drops.values()) / len(drops), "points", count)
        for fraction, drop in drops.items():
            metrics[f"accuracy_drop_{_percent(fraction)}"] = Metric(drop, "points", count)
    for fraction, history in good.items():
        suffix = f"_{_percent(fraction)}" if len(histories) > 1 else ""
        metrics[f"clean_accuracy{suffix}"] = Metric(last[fraction], "%", count)
        metrics[f"best_clean_accuracy{suffix}"] = Metric(100 * (history.best_accuracy or 0.0), "%", count)
    return metrics


def _series(histories: Mapping[float, History]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"poison_percent": fraction, **epoch.row()}
        for fraction, history in histories.items()
        for epoch in history.records
    )


def _counts(poisons: Mapping[float, LabelPoison]) -> dict[str, int]:
    if len(poisons) == 1:
        (poison,) = poisons.values()
        return {"wrong_labels": len(poison.indices)}
    return {f"wrong_labels_{_percent(fraction)}": len(poison.indices) for fraction, poison in poisons.items()}
