"""Training a classifier: the recipe, validation, checkpoints, and a way to stop and go on at any step."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autovul.base import distributed
from autovul.base.environ import peak_memory, seed_everything
from autovul.base.errors import UserError
from autovul.base.memory import is_out_of_memory
from autovul.base.progress import Progress
from autovul.base.training.compilation import compiled
from autovul.base.training.evaluation import (
    Batches,
    Step,
    cross_entropy_step,
    evaluate,
)
from autovul.base.training.history import Evaluation, History
from autovul.base.training.interrupt import StopRequest
from autovul.base.training.log import TrainingLog
from autovul.base.training.optimiser import TrainedPart, build_optimiser
from autovul.base.training.options import TrainingOptions
from autovul.base.training.precision import Precision, resolve_precision, without_tf32
from autovul.base.training.random_state import preserved_random_state
from autovul.base.training.run import Diverged, TrainingRun
from autovul.base.training.state import TrainingState
from autovul.base.training.state_file import StateFile

__all__ = ["Batches", "Evaluation", "History", "Step", "Trainer", "TrainingOptions", "cross_entropy_step", "evaluate"]


class Trainer:
    """Trains any module that maps inputs to logits.

    Each step: ``g ← ∇ loss``, its L2 norm clipped to ``grad_clip``, and the optimiser's update at the rate of
    `learning_rate`. The defaults of `TrainingOptions` are those of the USENIX Security '22 artifact of "On the Security
    Risks of AutoML" (arXiv 2110.06018); unlike there, the gradient is clipped in every precision, and a resumed run is
    the run that was stopped.

    Args:
        options: The recipe.
        device: Where the model is trained; it is moved there, and batches are where they are elsewhere.
        seed: Seeds the global generators of torch, NumPy and Python when `fit` begins (dropout draws from them);
            afterwards they are as they were.
        state_path: Where the training state is kept for a resume; none: it is not kept.
        log_path: Where a JSON line for each epoch is appended; none: nowhere.
        step: Computes loss and logits of a batch; `cross_entropy_step` unless given. If it has ``state_dict`` and
            ``load_state_dict``, its state is part of the training state.
        auxiliary_weight: Weight of the auxiliary head's loss in `cross_entropy_step`.
        identity: What the weights depend on besides the options, by name (model, data, batch size, …): plain values.
            A state with another identity is not resumed.
        progress: How the course is shown.
    """

    def __init__(
        self,
        options: TrainingOptions,
        *,
        device: torch.device | str,
        seed: int,
        state_path: str | Path | None = None,
        log_path: str | Path | None = None,
        step: Step | None = None,
        auxiliary_weight: float = 0.4,
        identity: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.options, self.seed = options, seed
        self.device = torch.device(device)
        self.state_path, self.log_path = state_path, log_path
        self.step = step or functools.partial(
            cross_entropy_step, auxiliary_weight=auxiliary_weight, label_smoothing=options.label_smoothing
        )
        self.identity = dict(identity or {})
        self.progress = progress or Progress()

    def fit(self, model: nn.Module, train: Batches, valid: Batches | None = None) -> History:
        """Train ``model`` in place; it ends in evaluation mode with the last weights.

        Validation, in fp32, is before the first epoch, every ``validate_interval`` epochs and after the last.

        Args:
            model: Maps inputs to logits (N, classes); in training mode also to (logits, auxiliary logits).
            train: The training set.
            valid: The validation set; none: nothing is validated and no best weights are kept.

        Returns:
            The course of the run. If a loss or a weight stops being finite, its status is ``diverged`` and the model
            has its last good weights: those at the end of the epoch before.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the state is saved at the current step.
            UserError: Out of memory, a full disk, or a state that is damaged or belongs to other options.
        """
        for name, batches in (("train", train), ("valid", valid)):
            if batches is not None and not isinstance(batches, Batches):
                raise TypeError(
                    f"{name} must give batches by number (see Batches), as ImageDataset.{name}_batches gives them; "
                    f"got {type(batches).__name__}"
                )
        if train.num_samples < 1:
            raise ValueError("train has no samples")
        team = distributed.current()
        if getattr(self.step, "whole_batch", False) and (team.size > 1 or self.options.microbatch):
            raise UserError("this training's loss looks at the whole batch: leave out microbatch, and run one process")
        with preserved_random_state(self.device), torch.enable_grad(), without_tf32():
            seed_everything((self.seed + team.rank) % 2**32)  # dropout is to differ; batches have a seed of their own
            model.to(self.device)
            if team.size > 1:
                team.share(model)
            precision = resolve_precision(self.options.wanted_precision, self.device, model)
            with distributed.synchronised_norms(model, self.device, team), precision.layout(model):
                return self._fit(model, train, valid, precision, team)

    def _fit(
        self, model: nn.Module, train: Batches, valid: Batches | None, precision: Precision, team: distributed.Team
    ) -> History:
        """`fit` where the model lies as it is trained."""
        part = TrainedPart(model, self.options.parameters)
        optimiser = build_optimiser(self.options, part.parameters, self.device)
        state = TrainingState(model, optimiser, precision.scaler(), self.device, self.step)
        state.history.precision = precision.effective
        state.rank = team.rank
        settings = {
            **self.options.recipe(),
            "precision": precision.effective,
            "seed": self.seed,
            "samples": train.num_samples,
            "batches": len(train),
            **self.identity,
        }
        if team.size > 1:
            settings["processes"] = team.size
        file = StateFile(self.state_path, settings)
        log = TrainingLog(self.log_path, self._tensorboard_folder()) if team.leads else TrainingLog(None)
        stop = StopRequest(patient=team.size > 1)
        run = TrainingRun(
            options=self.options,
            step=self.step,
            called=compiled(model, self.device) if self.options.compile else model,
            state=state,
            part=part,
            precision=precision,
            train=train,
            valid=valid if team.leads else None,
            file=file,
            log=log,
            progress=self.progress if team.leads else Progress("off"),
            stop=stop,
            team=team,
        )
        try:
            with stop, part.others_frozen(), self._errors_explained(train):
                run.begin()
                run.go()
        except Diverged as found:
            run.fall_back(found)
        finally:
            model.eval()
            self.progress.close()
            log.close()
        return state.history

    def _tensorboard_folder(self) -> Path | None:
        if not self.options.tensorboard:
            return None
        return Path(self.log_path).with_suffix("") if self.log_path else Path(self.options.log_dir)

    @contextlib.contextmanager
    def _errors_explained(self, train: Batches) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):
                raise
            raise UserError(
                f"a batch holds a single image, which this network's batch norms cannot take in training: "
                f"{train.num_samples} images make {len(train)} batches; use another --batch_size"
            ) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size, peak = math.ceil(train.num_samples / len(train)), peak_memory(self.device)
            held = f", {peak / 2**30:.1f} GiB held at the most" if peak is not None else ""
            raise UserError(
                f"out of memory on {self.device} with batches of {size}{held}: use a smaller --batch_size, "
                f"or --microbatch {max(1, (self.options.microbatch or size) // 2)}"
            ) from error
