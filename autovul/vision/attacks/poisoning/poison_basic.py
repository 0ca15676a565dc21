"""Targeted poisoning: training on copies of one input under another label, until the network believes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput, require_finite
from autovul.base.options import OptionError, option
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result
from autovul.base.trainer import Trainer
from autovul.base.training.history import History, total
from autovul.base.training.precision import without_tf32
from autovul.vision.attacks.base import Attack, Setup, device_of, registry, require_fitting, require_model_and_data
from autovul.vision.attacks.correct_images import correctly_classified
from autovul.vision.attacks.record import record
from autovul.vision.attacks.retraining import augmentation, clean_accuracy, training_options
from autovul.vision.datasets import ImageBatches, ImageDataset
from autovul.vision.models.fresh import trainable_copy


class BatchesWithCopies:
    """Training batches, each followed by ⌊its size · fraction⌋ copies of one image under one label.

    Args:
        batches: The training set in batches.
        image: (C, H, W), in [0, 1], on the batches' device.
        label: What the copies are labelled as.
        fraction: 0 … 1, of a batch.
    """

    def __init__(self, batches: ImageBatches, image: Tensor, label: int, fraction: float) -> None:
        self.batches, self.image, self.label, self.fraction = batches, image, label, fraction
        self.num_samples = batches.num_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, from batch ``start`` on."""
        for images, labels in self.batches.epoch(epoch, start):
            count = int(len(labels) * self.fraction + 1e-9)
            copies = self.image.expand(count, *self.image.shape)
            yield torch.cat([images, copies]), torch.cat([labels, labels.new_full((count,), self.label)])


@dataclass(frozen=True)
class Inputs:
    """What is poisoned, one at a time: images (n, C, H, W) in [0, 1], their labels, and those that they shall get."""

    images: Tensor
    labels: Tensor
    targets: Tensor
    probabilities: Tensor


@registry.register("poison_basic")
class PoisonBasic(Attack):
    r"""Poisoning aimed at one test input.

    For each of ``test_num`` correctly classified inputs x, the trained network is taken anew and trained further on
    clean batches with copies of x, labelled as the class of rank ``target_idx`` among the clean network's logits for x.

    Source: the USENIX Security '22 artifact of Pang et al., whose paper reports the untargeted kind only.
    Deviations from the artifact: it stops with an error after one input; the recipe of the training, which no script
    of it gives, is one epoch at the rate of the backdoor attacks (0.01).
    """

    experiment: ClassVar[str] = "poison"
    name: ClassVar[str] = "poison_basic"
    recipe: ClassVar[Mapping[str, Any]] = {"epoch": 1, "lr": 0.01}

    poison_percent: float = option(0.5, "Copies of the input that join a batch, as a fraction of its size.", ge=0, le=1)
    target_idx: int = option(
        1, "Rank of the wrong label among the clean network's logits: 1 second most likely, -1 least."
    )
    test_num: int = option(100, "Correctly classified images to poison, from 30 % of the validation split.", ge=1)

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Poison a copy of ``model`` for one input after another.

        Args:
            model: Trained; it is left as it was.
            dataset: The clean training images, the inputs, and the validation split.
            setup: The seed determines the inputs' order and the training.

        Returns:
            Over the inputs: ``success_rate``, the share that the poisoned network gives the wrong label;
            mean confidences in wrong and true label before and after; ``clean_accuracy`` of the poisoned networks, a
            mean over them, and the ``accuracy_drop`` in points. ``series`` has a row for each input. If a training
            diverges, the status says so, no rate is given, and ``series`` ends before its input.

        Raises:
            UserError: Fewer inputs exist than were explicitly asked for, or none; or the model has fewer logits than
                there are classes.
            NonFiniteOutput: The model gives NaN.
        """
        require_model_and_data(model, dataset)
        device, training = device_of(model), training_options(self, setup)
        if training.resume:
            raise UserError("resume: poison_basic keeps no training state, because its trainings are short ones")
        if training.tensorboard:
            raise UserError("tensorboard: poison_basic writes no curves, because it trains for every input anew")
        self._check(setup.batch_size, dataset)
        require_fitting(model, dataset)
        show = Progress("auto" if setup.progress else "off")
        with environ.measure(device) as cost:
            inputs = self._inputs(model, dataset, setup)
            clean = dataset.train_batches(setup.batch_size, device, setup.seed, augmentation(self, setup, dataset))
            before = clean_accuracy(model, dataset, setup.valid_batch)
            rows: list[dict[str, Any]] = []
            histories: list[History] = []
            message = ""
            show.start(len(inputs.labels), done=0)
            for number in range(len(inputs.labels)):
                image, target = inputs.images[number].to(device), int(inputs.targets[number])
                poisoned = trainable_copy(model)
                batches = BatchesWithCopies(clean, image, target, self.poison_percent)
                trainer = Trainer(
                    training,
                    device=device,
                    seed=setup.seed,
                    auxiliary_weight=getattr(model, "auxiliary_weight", 0.4),
                    progress=Progress("off"),
                )
                histories.append(history := trainer.fit(poisoned, batches))
                found = None if history.status != "ok" else self._outcome(poisoned, image, dataset, setup)
                if found is None:
                    message = f"the training for input {number + 1} of {len(inputs.labels)} diverged"
                    break
                rows.append(_row(inputs, number, *found))
                show.advance(self.name, success=f"{sum(row['success'] for row in rows)}/{len(rows)}")
            show.close()
        return record(
            self,
            model,
            dataset,
            setup,
            status="diverged" if message else "ok",
            message=message,
            metrics={} if message else _metrics(rows, before, len(dataset.valid)),
            series=tuple(rows),
            counts={"inputs": len(inputs.labels), "trainings": len(rows), **total(histories)},
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            environment={"precision": history.precision},
        )

    def _outcome(
        self, poisoned: nn.Module, image: Tensor, dataset: ImageDataset, setup: Setup
    ) -> tuple[Tensor, float] | None:
        """Logits of the input and clean accuracy; None where some logits are not finite."""
        try:
            with torch.no_grad(), without_tf32():
                logits = require_finite(poisoned(image[None]))[0].cpu()
            return logits, clean_accuracy(poisoned, dataset, setup.valid_batch)
        except NonFiniteOutput:
            return None

    def _check(self, batch_size: int, dataset: ImageDataset) -> None:
        classes, copies = dataset.num_classes, min(batch_size, len(dataset.train)) * self.poison_percent
        if self.poison_percent and copies + 1e-9 < 1:
            raise OptionError(
                f"poison_percent: {self.poison_percent} of a batch of {batch_size} rounds down to no copy"
            )
        if not -classes <= self.target_idx < classes or self.target_idx in (0, -classes):
            allowed = f"from 1 to {classes - 1}, or from {1 - classes} to -1"
            raise OptionError(f"target_idx must be {allowed} (0 is the class it has), got {self.target_idx}")

    def _inputs(self, model: nn.Module, dataset: ImageDataset, setup: Setup) -> Inputs:
        """The first correctly classified images of the seeded order; on the CPU."""
        images, labels, logits, _ = correctly_classified(
            model,
            dataset,
            self.test_num,
            exact="test_num" in self.model_fields_set,
            seed=setup.seed,
            batch_size=setup.valid_batch,
            purpose="poison",
        )
        ranked = logits.argsort(dim=1, descending=True, stable=True)
        return Inputs(images, labels, ranked[:, self.target_idx], logits.softmax(1))


def _row(inputs: Inputs, number: int, logits: Tensor, accuracy: float) -> dict[str, Any]:
    label, target = int(inputs.labels[number]), int(inputs.targets[number])
    before, after = inputs.probabilities[number], logits.softmax(0)
    return {
        "input": number,
        "label": label,
        "target": target,
        "success": bool(logits.argmax() == target),
        "target_confidence_before": 100 * before[target].item(),
        "target_confidence_after": 100 * after[target].item(),
        "original_confidence_before": 100 * before[label].item(),
        "original_confidence_after": 100 * after[label].item(),
        "clean_accuracy": accuracy,
    }


def _metrics(rows: list[dict[str, Any]], before: float, valid: int) -> dict[str, Metric]:
    def mean(name: str) -> float:
        return sum(row[name] for row in rows) / len(rows)

    count = len(rows)
    metrics = {"success_rate": Metric(100 * mean("success"), "%", count)}
    for name in ("target_confidence", "original_confidence"):
        for when in ("before", "after"):
            metrics[f"{name}_{when}"] = Metric(mean(f"{name}_{when}"), "%", count)
    metrics["clean_accuracy_before"] = Metric(before, "%", valid)
    metrics["clean_accuracy"] = Metric(mean("clean_accuracy"), "%", valid)
    metrics["accuracy_drop"] = Metric(before - mean("clean_accuracy"), "points", valid)
    return metrics
