"""Training a model as the options say: batches, files and the result record around the trainer."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autovul.base import distributed, environ
from autovul.base.checkpoint import digest, load_state, save_state
from autovul.base.cli import Settings
from autovul.base.errors import UserError
from autovul.base.progress import Progress
from autovul.base.result import Metric, Result, read_results
from autovul.base.trainer import Trainer
from autovul.base.training.history import EpochRecord, History
from autovul.vision.adversarial_training import adversarial, robust_accuracy
from autovul.vision.attacks.base import describe
from autovul.vision.datasets import ImageDataset
from autovul.vision.models.facts import made_of
from autovul.vision.models.weights import model_path


def train(model: nn.Module, dataset: ImageDataset, settings: Settings, device: torch.device) -> Result:
    """Train ``model`` in place, save its last and its best weights, and say how it went.

    The files are ``{name}{suffix}.pth`` (last epoch; what attacks load), ``{name}{suffix}_best.pth`` (best validation
    accuracy, the later of equals) and, while it trains, ``{name}{suffix}.state`` (what a resume needs). A run that
    diverged leaves its last good weights as ``{name}{suffix}_diverged.pth`` and the others as they were.
    """
    seed, data, options = settings.environment.seed, settings.data, settings.training
    weights = weights_path(model, dataset, settings)
    log = Path(options.log_dir, "image", dataset.name, weights.with_suffix(".jsonl").name)
    adversary = settings.adversary.in_pixel_units()
    augmented = dataset.train_batches(data.batch_size, device, seed, dataset.augmentation(data))
    step, batches = adversarial(adversary, augmented, settings.model.auxiliary_weight, options.label_smoothing)
    valid = dataset.valid_batches(data.valid_batch_size, device)
    trainer = Trainer(
        options,
        device=device,
        seed=seed,
        state_path=weights.with_suffix(".state") if options.save else None,
        log_path=log,
        step=step,
        identity=_identity(model, settings, dataset),
        progress=Progress("auto" if settings.environment.tqdm else "off"),
    )
    with environ.measure(device, "training") as cost:
        history = trainer.fit(model, batches, valid)
    files = {"log": str(log)}
    team = distributed.current()
    if options.save and team.leads:
        files.update(_save(model, history, weights))
    result = _result(history, dataset, model, seed, options.epoch)
    metrics = dict(result.metrics)
    if adversary.adv_train is not None and result.status == "ok" and team.leads:
        metrics["robust_accuracy"] = Metric(robust_accuracy(adversary, model, valid), "%", valid.num_samples)
    if team.size > 1:
        result = result.replace(environment={**result.environment, "processes": team.size})
    return result.replace(metrics=metrics, seconds=cost.seconds, peak_memory=cost.peak_memory, files=files)


def finished(model: nn.Module, dataset: ImageDataset, settings: Settings) -> Path | None:
    """The result of a run with these very options that has ended well and whose weights are still there."""
    record = Result("train", dataset.name, seed=settings.environment.seed, metrics={}, **describe(model))
    path = record.replace(options=settings.effective()).path(settings.environment.result_dir)
    weights = weights_path(model, dataset, settings)
    if not (path.is_file() and weights.is_file()):
        return None
    results, _ = read_results([path])
    if not results or results[0].status != "ok" or results[0].weights_sha256 != digest(load_state(weights)):
        return None
    # A file of cells, or code of one's own, may have changed under the same name.
    found, wanted = results[0].facts, made_of(model)
    return path if {name: found.get(name) for name in wanted} == wanted else None


def require_own_weights(model: nn.Module, dataset: ImageDataset, settings: Settings) -> None:
    """Make sure, before a training, that it replaces no weights but those that a training has left.

    These are known by its record, or by the state of the training that goes on.

    Raises:
        UserError: There are other weights in their place.
    """
    path, options = weights_path(model, dataset, settings), settings.training
    going_on = options.resume and path.with_suffix(".state").exists()
    if not options.save or settings.weights.overwrite or going_on or not path.exists():
        return
    records, _ = read_results(sorted(Path(settings.environment.result_dir, "train").glob("*.json")))
    # One that made no whole epoch and saved nothing names the weights that it began with.
    trained = [each for each in records if "weights" in each.files or each.counts.get("epochs")]
    with contextlib.suppress(UserError):  # no training leaves what cannot be read
        if digest(load_state(path)) in {each.weights_sha256 for each in trained}:
            return
    raise UserError(
        f"{path} holds weights that no training recorded in {settings.environment.result_dir} made, and training would "
        "replace them: attacks and validate take them as they are; --suffix=_new puts the trained ones beside them, "
        "--no-save keeps none, --overwrite replaces them"
    )


def discard_state(model: nn.Module, dataset: ImageDataset, settings: Settings) -> None:
    """Remove what a resume needs. Only when the result is written: until then a killed run can go on."""
    weights_path(model, dataset, settings).with_suffix(".state").unlink(missing_ok=True)


def weights_path(model: nn.Module, dataset: ImageDataset, settings: Settings) -> Path:
    """Where the weights of this run belong."""
    return model_path(settings.model.model_dir, dataset.name, describe(model)["model"], settings.model.suffix)


def _identity(model: nn.Module, settings: Settings, dataset: ImageDataset) -> dict[str, Any]:
    """What the weights depend on besides the recipe; for a network of one's own that is also its code or its cells."""
    chosen = settings.model.model_dump(exclude={"suffix", "model_dir", "pretrain"})
    augmentation = ("batch_size", "auto_augment", "cutout", "cutout_length")
    return {
        **chosen,
        **(made_of(model) if describe(model)["group"] == "yours" else {}),
        **settings.adversary.model_dump(),
        **{name: getattr(settings.data, name) for name in augmentation},
        "data": dataset.sha256,
        "flip": dataset.flip,
    }


def _save(model: nn.Module, history: History, weights: Path) -> dict[str, str]:
    if history.status != "ok":
        path = weights.with_name(f"{weights.stem}_diverged.pth")
        save_state(path, model.state_dict())
        return {"last good weights": str(path)}
    save_state(weights, model.state_dict())
    files = {"weights": str(weights)}
    if history.best_state is not None:
        best = weights.with_name(f"{weights.stem}_best.pth")
        save_state(best, history.best_state)
        files["best weights"] = str(best)
    return files


def _result(history: History, dataset: ImageDataset, model: nn.Module, seed: int, epochs: int) -> Result:
    # A network that gives NaN from the start has no record at all.
    last = history.records[-1] if history.records else EpochRecord(0)
    train_count, valid_count = len(dataset.train), len(dataset.valid)
    figures: dict[str, tuple[float | None, str, int]] = {
        "valid_accuracy": (_percent(last.valid_accuracy), "%", valid_count),
        "best_valid_accuracy": (_percent(history.best_accuracy), "%", valid_count),
        "valid_loss": (last.valid_loss, "nats", valid_count),
        "train_accuracy": (_percent(last.train_accuracy), "%", train_count),
        "train_loss": (last.train_loss, "nats", train_count),
        "early_train_loss": (history.early_loss(epochs), "nats", train_count),
        "images_per_second": (_speed(history), "images/s", train_count),
    }
    diverged = history.status != "ok"
    return Result(
        experiment="train",
        dataset=dataset.name,
        seed=seed,
        status="diverged" if diverged else "ok",
        message="epoch {}, step {}: the loss or a weight is not finite".format(*history.diverged_at or (0, 0))
        if diverged
        else "",
        metrics={name: Metric(*figure) for name, figure in figures.items() if figure[0] is not None},
        series=tuple(record.row() for record in history.records),
        counts={"epochs": last.epoch, **history.counts()},
        environment={"precision": history.precision},
        **describe(model),
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _speed(history: History) -> float | None:
    speeds = [record.samples_per_second for record in history.records if record.samples_per_second]
    return sorted(speeds)[len(speeds) // 2] if speeds else None
