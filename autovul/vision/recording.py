"""Completing a result record with what the run was made of, and handing it over."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autovul.base import environ
from autovul.base.checkpoint import digest
from autovul.base.cli import Settings
from autovul.base.errors import UserError
from autovul.base.result import Result, read_results, version_of
from autovul.base.summary import summary
from autovul.vision.attacks.base import Setup, describe
from autovul.vision.attacks.record import weights_sha256
from autovul.vision.datasets import AttackedDataOptions, ImageDataset, TrainingDataOptions, ValidatedDataOptions
from autovul.vision.datasets.splits import legacy_shuffle
from autovul.vision.doubts import NORMALISED, TIMES_255, doubts, doubts_of_accuracy, doubts_of_figures
from autovul.vision.gradient_doubts import doubts_of_gradients, doubts_of_search
from autovul.vision.models.facts import facts, made_of
from autovul.vision.models.own import OwnModel


def require_places(settings: Settings) -> None:
    """Make sure, before any work is done, that what it gives can be written.

    Raises:
        UserError: A folder of the options cannot be made or written to.
    """
    places = {"result_dir": settings.environment.result_dir}
    if "output" in settings.groups:
        places["attack_dir"] = settings.output.attack_dir
    if "training" in settings.groups:
        places["log_dir"] = settings.training.log_dir
        if settings.command == "train" and settings.training.save:
            places["model_dir"] = settings.model.model_dir
    for option, place in places.items():
        folder = Path(place).absolute()
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise UserError(f"{option}: nothing can be written to {place}: {there} is no folder, or not yours to write")


def require_same_cells(model: nn.Module, settings: Settings) -> None:
    """Make sure that loaded weights were not trained in cells that their file has held before.

    Other operations of the same shapes would take them without a word. Known where the training's record is there.

    Raises:
        UserError: They were.
    """
    file = settings.model.genotype
    if file is None or not settings.model.pretrain:
        return
    cells, own = made_of(model)["genotype"], digest(model.state_dict())
    paths = sorted(Path(settings.environment.result_dir, "train").glob("*.json"))
    trainings = [result for result in read_results(paths)[0] if result.weights_sha256 == own]
    if trainings and all(result.facts.get("genotype") != cells for result in trainings):
        raise UserError(
            f"{file}: the weights of this name were trained with other cells than those that the file holds now: train "
            "again, or give the file another name"
        )


def setup(settings: Settings, dataset: ImageDataset, model: nn.Module) -> Setup:
    """How an attack runs, by the settings of its command."""
    place = Path("image", dataset.name, describe(model)["model"] + settings.model.suffix, str(settings.algorithm_name))
    data = settings.data
    found: dict[str, Any] = {}
    if isinstance(data, AttackedDataOptions):
        found["attack_batch"] = data.test_batch_size
    if isinstance(data, ValidatedDataOptions):
        found["valid_batch"] = data.valid_batch_size
    if isinstance(data, TrainingDataOptions):
        found.update(batch_size=data.batch_size, augmentation=dataset.augmentation(data))
    if "training" in settings.groups:
        found.update(training=settings.training, log_folder=Path(settings.training.log_dir, place))
    return Setup(
        seed=settings.environment.seed,
        progress=settings.environment.tqdm,
        folder=Path(settings.output.attack_dir, place),
        options_recorded=True,
        **found,
    )


def complete(
    result: Result, settings: Settings, dataset: ImageDataset, model: nn.Module, device: torch.device
) -> Result:
    """The record with every effective option, the hashes of data and weights, the network's facts and versions.

    And with what makes its figures doubtful.
    """
    found = _doubts(result, settings, dataset, model, device) if result.status == "ok" else []
    return result.replace(
        options={**settings.effective(), **result.options},
        data_sha256=dataset.sha256,
        weights_sha256=result.weights_sha256 or weights_sha256(model),
        facts={**asdict(facts(model, dataset.data_shape)), **made_of(model)},
        environment={**environ.describe(device), **result.environment, **({"doubts": found} if found else {})},
        version=version_of(result.experiment),
    )


def _doubts(
    result: Result, settings: Settings, dataset: ImageDataset, model: nn.Module, device: torch.device
) -> list[str]:
    """Those of the figures; and a network of one's own, which may be wrong in many ways, is asked."""
    valid = dataset.valid
    found = doubts_of_figures(result.metrics, valid.labels)
    by_gradients = settings.command == "adv_attack" and settings.algorithm.follows_gradients
    of_search = doubts_of_search(result) if by_gradients else []
    if not isinstance(model, OwnModel):
        return found + of_search
    asked = doubts(model, valid.pixels(slice(0, 8)).to(device))
    if settings.command == "train" or settings.model.pretrain:  # else its weights may be new
        # Files often come class by class. Of large images fewer are asked.
        count = min(512, max(128, 512 * 3 * 32 * 32 // math.prod(dataset.data_shape)))
        sample = legacy_shuffle(len(valid))[:count]
        images, labels = valid.pixels(sample), valid.labels[sample]
        of_accuracy = doubts_of_accuracy(model, images, labels)
        asked += [doubt for doubt in of_accuracy if not found or doubt in (TIMES_255, NORMALISED)]
        if by_gradients and not of_accuracy:
            asked += doubts_of_gradients(model, images[:64], labels[:64])
    return asked + found + of_search


def hand_over(result: Result, settings: Settings) -> int:
    """Write the record, print its summary, and return the exit status: 1 for a run that is not ok."""
    environment = settings.environment
    path = result.write(environment.result_dir)
    shown = result.replace(files={**result.files, "result": str(path)})
    short = settings.algorithm.in_pixel_units().in_short() if settings.algorithm_name else ""
    print(summary(shown, color=environment.color, verbose=environment.verbose > 0, algorithm=short))
    return 0 if result.status == "ok" else 1
