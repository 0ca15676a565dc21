"""What all backdoor attacks share: trigger, training on triggered images, measurement, files."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from autovul.base import environ
from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError, option
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result
from autovul.base.training.history import History, total
from autovul.vision.attacks.backdoor import files as backdoor_files
from autovul.vision.attacks.backdoor.batches import PoisonedBatches, TrainMode
from autovul.vision.attacks.backdoor.losses import PoisonStep
from autovul.vision.attacks.backdoor.measure import Measurement, measure
from autovul.vision.attacks.base import Attack, Setup, device_of, require_fitting, require_model_and_data
from autovul.vision.attacks.record import record
from autovul.vision.attacks.retraining import Retraining, made_with, training_options
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.splits import least_fraction, seeded_fraction
from autovul.vision.marks import MarkOptions, Trigger, Watermark
from autovul.vision.models.fresh import trainable_copy


@dataclass
class Scene:
    """One run of a backdoor attack: what the parts of the algorithm are given, and what they have to tell.

    Args:
        model: The clean network; it stays as it is.
        dataset: Training and validation images.
        setup: Seed, recipe, folder.
        metrics: Figures of the trigger's making, which join the others.
        counts: Likewise.
        forward, backward: Passes so far, each of one image, but for those of the training.
    """

    model: nn.Module
    dataset: ImageDataset
    setup: Setup
    metrics: dict[str, Metric] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    forward: int = 0
    backward: int = 0

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return device_of(self.model)

    def say(self, line: str) -> None:
        """Tell the person who watches."""
        Progress("auto" if self.setup.progress else "off").say(line)

    def took(self, forward: int, backward: int = 0) -> None:
        """Count passes."""
        self.forward += forward
        self.backward += backward

    def judge(self, model: nn.Module, trigger: Trigger, target: int) -> Measurement:
        """`measure` on this run's data."""
        setup = self.setup
        self.took(2 * len(self.dataset.valid))  # clean and triggered
        return measure(model, self.dataset, trigger, target, batch_size=setup.valid_batch, seed=setup.seed)


class BackdoorAttack(Attack, MarkOptions):
    """An attack after which the network gives the target class to every image with the trigger.

    A copy of the trained network is trained further on clean and triggered images. Subclasses say where the trigger
    comes from (`make_trigger`), what the loss is (`make_step`) and whether the trigger changes between epochs
    (`watch`).
    """

    experiment: ClassVar[str] = "backdoor"
    recipe: ClassVar[Mapping[str, Any]] = {"epoch": 20, "lr": 0.01, "validate_interval": 1}

    target_class: int = option(0, "The class that triggered images shall be given.", ge=0)
    poison_percent: float = option(
        0.01, "Triggered images, as a fraction of a batch, of the training set, or of the loss.", ge=0, le=1
    )
    train_mode: TrainMode = option(
        "batch",
        "Add triggered copies of the first images of each batch, or of a fixed part of the data set, or weigh the loss "
        "on triggered images with poison_percent and that on clean ones with the rest (latent_backdoor: mse_weight).",
    )
    validate_only: bool = option(False, "Train nothing: load the saved attack of this name and measure it again.")

    def make_trigger(self, scene: Scene, trigger: Trigger) -> Trigger:
        """The trigger to train with; by default ``trigger``, as the options describe it."""
        return trigger

    def make_step(self, scene: Scene, victim: nn.Module, batches: PoisonedBatches, hooks: ExitStack) -> PoisonStep:
        """The loss of a training batch; what must be taken off ``victim`` after the training goes to ``hooks``."""
        weight = self.poison_percent if self.train_mode == "loss" else None
        return PoisonStep(batches, weight, **self._weights(scene, victim))

    def _weights(self, scene: Scene, victim: nn.Module) -> dict[str, float]:
        """What every loss is told."""
        return {
            "auxiliary_weight": getattr(victim, "auxiliary_weight", 0.4),
            "label_smoothing": training_options(self, scene.setup).label_smoothing,
        }

    def watch(self, scene: Scene, victim: nn.Module, batches: PoisonedBatches) -> None:
        """A chance to set ``batches.before_epoch``."""

    def passes_between_epochs(self, scene: Scene, epochs: int) -> int:
        """Forward passes, and as many backward, that ``before_epoch`` has taken before so many epochs.

        A run that goes on from a state has not taken all of them itself.
        """
        return 0

    def run(self, model: nn.Module, dataset: ImageDataset, setup: Setup = Setup()) -> Result:
        """Plant the backdoor into a copy of ``model`` and measure it on the validation split.

        Args:
            model: Trained, takes pixels in [0, 1] and gives logits; it is left as it was.
            dataset: Its training split is poisoned, its validation split judges.
            setup: The seed determines which images are poisoned, random triggers and places, and the training. With a
                folder, network, trigger and pictures are kept there.

        Returns:
            Rates in percent, after the last epoch. ``success_rate``: triggered images of other classes that are given
            the target class; ``success_rate_all``: the artifact's, over all images; ``clean_model_success_rate`` and
            ``…_all``: the same for the network as it was before. ``clean_accuracy_before``, ``clean_accuracy`` and
            their difference ``accuracy_drop`` in points. ``target_confidence``: mean on successes. ``neuron_jaccard``:
            overlap of the most active half of the final features with and without trigger.

        Raises:
            OptionError: No such class, a mark that does not fit, or a fraction above 0 that rounds to no image.
            UserError: ``validate_only`` and no saved attack; or the model has fewer logits than there are classes.
            NonFiniteOutput: The clean network gives NaN.
        """
        require_model_and_data(model, dataset)
        self._check(dataset, setup)
        require_fitting(model, dataset)
        if self.validate_only:
            return self._validate_saved(model, dataset, setup)
        scene = Scene(model, dataset, setup)
        described = self._described(dataset, setup.seed).to(scene.device)
        with environ.measure(scene.device) as cost:
            before = scene.judge(model, described, self.target_class)
            victim = trainable_copy(model)
            trigger = self.make_trigger(scene, described)
            trigger, history = self._plant(scene, victim, trigger)
            after = self._judged(scene, victim, trigger) if history.status == "ok" else None
            if after is not None and trigger is not described:
                before = scene.judge(model, trigger, self.target_class)
        result = self._result(scene, history).replace(
            series=tuple(epoch.row() for epoch in history.records),
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            environment={"precision": history.precision},
        )
        if after is None:
            Retraining(self, dataset, setup).finish(backdoor_files.stem(self))
            message = "what the backdoored network gives is not finite"
            if history.diverged_at is not None:
                message = "epoch {}, step {}: the loss or a weight is not finite".format(*history.diverged_at)
            return result.replace(status="diverged", message=message)
        files: dict[str, str] = {}
        if setup.folder is not None and Retraining(self, dataset, setup).options.save:
            base = setup.folder / backdoor_files.stem(self)
            options = self.model_dump(mode="json", exclude={"validate_only"})
            recipe = {**made_with(self, setup, dataset), "seed": setup.seed}
            backdoor_files.save(base, victim, trigger, options, recipe)
            files.update(weights=f"{base}.pth", trigger=f"{base}.npz")
        files = {**self._draw(scene, trigger, after), **files}
        Retraining(self, dataset, setup).finish(backdoor_files.stem(self))
        return result.replace(metrics={**_metrics(before, after), **scene.metrics}, files=files)

    def _judged(self, scene: Scene, victim: nn.Module, trigger: Trigger) -> Measurement | None:
        """What the backdoored network does; None where it gives NaN, which finite weights can."""
        try:
            return scene.judge(victim, trigger, self.target_class)
        except NonFiniteOutput:
            return None

    def _plant(self, scene: Scene, victim: nn.Module, trigger: Trigger) -> tuple[Trigger, History]:
        """Train ``victim``; gives the trigger as it is in the end."""
        work, setup = Retraining(self, scene.dataset, scene.setup), scene.setup
        batches = PoisonedBatches(
            scene.dataset,
            trigger,
            self.target_class,
            self.poison_percent,
            self.train_mode,
            setup.batch_size,
            scene.device,
            setup.seed,
            work.augmentation,
        )
        self.watch(scene, victim, batches)
        with ExitStack() as hooks:
            step = self.make_step(scene, victim, batches, hooks)
            history = work.fit(victim, batches, backdoor_files.stem(self), step=step)
        begun = history.diverged_at[0] if history.diverged_at else history.records[-1].epoch
        between = self.passes_between_epochs(scene, begun)
        scene.took(between, between)
        return batches.trigger, history

    def _check(self, dataset: ImageDataset, setup: Setup) -> None:
        if self.target_class >= dataset.num_classes:
            raise OptionError(f"target_class must be from 0 to {dataset.num_classes - 1}, got {self.target_class}")
        size = len(dataset.train)
        if self.train_mode == "dataset" and self.poison_percent and not len(seeded_fraction(size, self.poison_percent)):
            raise OptionError(
                f"poison_percent: {self.poison_percent} of {size} training images rounds down to none; "
                f"give 0, or at least {least_fraction(size):.2g}"
            )
        seen = size * training_options(self, setup).epoch
        if self.train_mode == "batch" and 0 < self.poison_percent * seen < 1 and not self.validate_only:
            raise OptionError(
                f"poison_percent: {self.poison_percent} of the {seen} images that the training sees is not one "
                f"triggered image; give 0, or at least {least_fraction(seen):.2g}"
            )

    def _described(self, dataset: ImageDataset, seed: int) -> Trigger:
        """The trigger that the options describe."""
        options = {name: getattr(self, name) for name in MarkOptions.model_fields}
        try:
            return Watermark(data_shape=dataset.data_shape, **options).trigger(seed)
        except OptionError as error:
            raise OptionError(error.rule or str(error)) from None

    def _result(self, scene: Scene, training: History) -> Result:
        poisoned = len(seeded_fraction(len(scene.dataset.train), self.poison_percent, scene.setup.seed))
        counts = {"poisoned_images": poisoned} if self.train_mode == "dataset" else {}
        counts |= {**scene.counts, **total([training, History(forward=scene.forward, backward=scene.backward)])}
        return record(self, scene.model, scene.dataset, scene.setup, metrics=dict(scene.metrics), counts=counts)

    def _draw(self, scene: Scene, trigger: Trigger, after: Measurement) -> dict[str, str]:
        from autovul.vision.attacks.backdoor.pictures import draw_examples, draw_trigger

        folder, name = scene.setup.folder, backdoor_files.stem(self)
        if folder is None:
            return {}
        paths = {"trigger picture": folder / f"{name}.png", "examples": folder / f"{name}_examples.png"}
        draw_trigger(paths["trigger picture"], trigger)
        draw_examples(paths["examples"], trigger, scene.dataset, after, self.target_class, scene.setup.seed)
        return {role: str(path) for role, path in paths.items()}

    def _validate_saved(self, model: nn.Module, dataset: ImageDataset, setup: Setup) -> Result:
        """Measure the saved attack of this name; its own options, recipe and seed stand in the record."""
        if setup.folder is None:
            raise UserError("validate_only needs a folder in which the attack was saved")
        base = Path(setup.folder, backdoor_files.stem(self))
        state, trigger, options, recipe = backdoor_files.load(base)
        try:
            saved = type(self)(**options)
            victim = copy.deepcopy(model)
            victim.load_state_dict(state)
        except (OptionError, RuntimeError) as error:
            raise UserError(f"{base}.pth does not fit this network: {' '.join(str(error).split())[:300]}") from None
        if (len(trigger.mark), *trigger.size) != dataset.data_shape:
            raise UserError(f"{base}.npz is a trigger for images of another shape than those of {dataset.name}")
        scene = Scene(model, dataset, replace(setup, seed=recipe.get("seed", setup.seed)))
        with environ.measure(scene.device) as cost:
            before, after = (scene.judge(network, trigger, saved.target_class) for network in (model, victim))
        return saved._result(scene, History()).replace(
            options={**recipe, **options, "validate_only": True},
            metrics=_metrics(before, after),
            seconds=cost.seconds,
            peak_memory=cost.peak_memory,
            files=saved._draw(scene, trigger, after),
        )


def _metrics(before: Measurement, after: Measurement) -> dict[str, Metric]:
    others, everything = after.count, after.count_all
    return {
        "success_rate": Metric(after.success, "%", others),
        "success_rate_all": Metric(after.success_all, "%", everything),
        "clean_model_success_rate": Metric(before.success, "%", others),
        "clean_model_success_rate_all": Metric(before.success_all, "%", everything),
        "clean_accuracy_before": Metric(before.accuracy, "%", everything),
        "clean_accuracy": Metric(after.accuracy, "%", everything),
        "accuracy_drop": Metric(before.accuracy - after.accuracy, "points", everything),
        "target_confidence": Metric(after.confidence, "%", round(after.success * others / 100)),
        "neuron_jaccard": Metric(after.jaccard, "", everything),
    }
