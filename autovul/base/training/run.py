"""One run of the training loop, from its first validation to its last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from autovul.base.distributed import ALONE, Team
from autovul.base.errors import Interrupted, UserError
from autovul.base.progress import Progress
from autovul.base.training.evaluation import Batches, Step, count_correct, evaluate_pairs, labels_of
from autovul.base.training.history import EpochRecord, Evaluation
from autovul.base.training.interrupt import StopRequest
from autovul.base.training.log import TrainingLog
from autovul.base.training.optimiser import TrainedPart, learning_rate
from autovul.base.training.options import TrainingOptions
from autovul.base.training.parts import parts_of
from autovul.base.training.precision import Precision
from autovul.base.training.random_state import preserved_random_state, random_state
from autovul.base.training.running_mean import RunningMean
from autovul.base.training.state import TrainingState
from autovul.base.training.state_file import StateFile

STEPS_BETWEEN_READS = 50  # on an accelerator: reading the loss waits for all that is queued


class Diverged(Exception):
    """A value stopped being finite at this epoch and step, both from 1."""


class _Stopped(Exception):
    """A signal came."""


@dataclass
class TrainingRun:
    """One call of `Trainer.fit`: the parts that work together, and the loop over them."""

    options: TrainingOptions
    step: Step
    called: nn.Module  # what steps call: the model itself, or compiled
    state: TrainingState
    part: TrainedPart
    precision: Precision
    train: Batches
    valid: Batches | None
    file: StateFile
    log: TrainingLog
    progress: Progress
    stop: StopRequest
    team: Team = ALONE

    def __post_init__(self) -> None:
        self.device = self.state.device
        self.steps_between_reads = 1 if self.device.type == "cpu" else STEPS_BETWEEN_READS
        self.clock = time.monotonic()

    def begin(self) -> None:
        """Take up the saved state if that is asked for, and open log and display."""
        state = self.state
        if self.options.resume:
            self._resume()
        state.last_good = state.last_good or _snapshot(state.model)
        self.log.begin(state.epoch, state.step)
        event = "resume" if state.history.resumed_from else "start"
        self.log.write(
            event,
            state.epoch,
            state.step,
            precision=self.precision.effective,
            device=str(self.device),
            settings=self.file.settings,
        )
        self.progress.start(self.options.epoch * len(self.train), state.epoch * len(self.train) + state.step)

    def _resume(self) -> None:
        state = self.state
        if not self.file.exists():
            self.progress.say(f"no training state at {self.file.path}: starting from scratch")
            return
        changed = self.file.load(state, accept_changes=self.options.resume_changed)
        state.step = min(state.step, len(self.train))
        state.history.resumed_from = (state.epoch, state.step)
        where = f"after epoch {state.epoch}, step {state.step}" if state.step else f"after epoch {state.epoch}"
        done = state.epoch >= self.options.epoch
        self.progress.say(f"finished already: {self.file.path}" if done else f"resuming {where}")
        if changed:
            self.progress.say(f"options that changed: {', '.join(changed)}")

    def go(self) -> None:
        """Train to the end."""
        if not self.state.history.records:
            self._record(EpochRecord(0))
        while self.state.epoch < self.options.epoch:
            self._train_epoch()
            self._end_epoch()

    def _train_epoch(self) -> None:
        state, title = self.state, f"epoch {self.state.epoch + 1}/{self.options.epoch}"
        self.part.train()
        self.clock = time.monotonic()
        batches = self.train.epoch(state.epoch, state.step) if state.step < len(self.train) else ()
        for x, y in batches:
            for group in state.optimiser.param_groups:
                # One cycle is taken at the middle of its step: neither the first nor the last has the rate 0.
                group["lr"] = learning_rate(self.options, state.epoch, (state.step + 0.5) / len(self.train))
            self._train_step(_to(x, self.device), _to(y, self.device))
            state.step += 1
            if state.step % self.steps_between_reads == 0:
                self._read_mean()
            self.progress.advance(title, **self._figures())
            save, stop = self._agreed(self.file.is_due(epoch_ended=False))
            if save or stop:
                self._check()
                self._save()
            if stop:
                self._leave()
        self._check()

    def _agreed(self, is_due: bool) -> tuple[bool, bool]:
        """Whether to save and whether to stop: in a team all do the same after the same step.

        On an accelerator a team agrees only when the device is read anyway.
        """
        if self.team.size > 1 and self.state.step % self.steps_between_reads:
            return False, False
        save, stop = self.team.any(is_due and self.team.leads, bool(self.stop), device=self.device)
        return save, stop

    def _save(self) -> None:
        """Write the state; in a team the first process does, once it knows what the others alone have."""
        if self.team.size > 1:
            self.team.average_statistics(self.state.model)
            self.state.random_states = self.team.gather(random_state(self.device))
        if self.team.leads:
            self.file.save(self.state)

    def _train_step(self, x: Tensor, y: Any) -> None:
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        loss, correct = x.new_zeros(()), x.new_zeros((), dtype=torch.int64)
        for images, targets, share in parts_of(x, y, self.team, self.options.microbatch):
            with self.precision.autocast():
                part_loss, logits = self.step(self.called, images, targets)
            if not part_loss.requires_grad:
                raise UserError("the loss depends on no weight that is trained, so that there is nothing to learn")
            state.scaler.scale(part_loss * share).backward()
            loss = loss + part_loss.detach() * share
            if share:
                correct = correct + count_correct(logits.detach(), labels_of(targets))
        if self.team.size > 1:
            loss, correct = self.team.add_up(self.part.parameters, loss, correct)
        if self.options.grad_clip is not None:
            state.scaler.unscale_(state.optimiser)
            nn.utils.clip_grad_norm_(self.part.parameters, self.options.grad_clip)
        state.scaler.step(state.optimiser)
        state.scaler.update()
        count = len(labels_of(y))
        state.mean.add(loss, correct, count)
        forward, backward = getattr(self.step, "passes", (1, 1))
        state.history.steps += 1
        state.history.forward += forward * count
        state.history.backward += backward * count

    def _end_epoch(self) -> None:
        state, mean = self.state, self.state.mean
        record = EpochRecord(
            epoch=state.epoch + 1,
            lr=learning_rate(self.options, state.epoch),
            train_loss=mean.loss,
            train_accuracy=mean.accuracy,
            samples_per_second=mean.count / max(mean.seconds, 1e-9),
            seconds=mean.seconds,
        )
        self._record(record)
        state.epoch, state.step, state.mean = state.epoch + 1, 0, RunningMean()
        history = state.history
        best = history.best_state if history.best_epoch == state.epoch else None
        state.last_good = _snapshot(state.model) if best is None else best
        last = state.epoch == self.options.epoch
        if last:
            self.log.write("end", state.epoch, best_epoch=history.best_epoch)
        save, stop = self._agreed(self.file.is_due(epoch_ended=True))
        if last or save or stop:
            self._save()
        if stop:
            self._leave()

    def _record(self, record: EpochRecord) -> None:
        """Validate if it is time to, and enter the epoch into history, log and display."""
        history, epoch, finite = self.state.history, record.epoch, True
        if self.team.size > 1:
            self.team.average_statistics(self.state.model)
        if self.valid is not None and (epoch % self.options.validate_interval == 0 or epoch == self.options.epoch):
            found = self._validate()
            finite = math.isfinite(found.loss)
            record = EpochRecord(**{**asdict(record), "valid_loss": found.loss, "valid_accuracy": found.accuracy})
            best = history.best_accuracy
            if finite and (best is None or found.accuracy >= best):
                history.best_epoch, history.best_state = epoch, _snapshot(self.state.model)
            self.log.write("validation", epoch, **asdict(found))
        # Finite weights can still give NaN. Only the first process of a team validates, and all must hear of it.
        if self.team.any(not finite, device=self.device)[0]:
            raise Diverged(epoch, self.state.step)
        history.records.append(record)
        if epoch > 0:
            figures = {name: value for name, value in asdict(record).items() if name != "epoch"}
            self.log.write("epoch", epoch, **figures)
        self.progress.say(_line(record, self.options.epoch), important=record.valid_loss is not None)

    def _validate(self) -> Evaluation:
        assert self.valid is not None
        try:
            with preserved_random_state(self.device):
                found = evaluate_pairs(self.state.model, self._until_stopped(self.valid.epoch(0)))
        except _Stopped:
            self.file.save(self.state)
            self._leave()
        self.state.history.forward += found.count
        return found

    def _until_stopped(self, pairs: Iterable[tuple[Tensor, Any]]) -> Iterator[tuple[Tensor, Any]]:
        for pair in pairs:
            if self.stop and self.team.size == 1:  # in a team the others are already waiting for the next step
                raise _Stopped
            yield pair

    def _figures(self) -> dict[str, str]:
        mean = self.state.mean
        if not mean.count:  # nothing of the epoch has been read from the device yet
            return {}
        speed = mean.count / max(mean.seconds, 1e-9)
        return {"loss": f"{mean.loss:.4f}", "accuracy": f"{mean.accuracy:.2%}", "samples/s": f"{speed:.0f}"}

    def _read_mean(self) -> None:
        state = self.state
        bad = state.mean.drain()
        now = time.monotonic()
        state.mean.seconds, self.clock = state.mean.seconds + now - self.clock, now
        if bad is not None:
            raise Diverged(state.epoch + 1, state.step - bad + 1)

    def _check(self) -> None:
        """Losses so far and the weights that follow from the last are finite."""
        self._read_mean()
        finite = [torch.isfinite(parameter).all() for parameter in self.part.parameters]
        if not torch.stack(finite).all():
            raise Diverged(self.state.epoch + 1, self.state.step)

    def _leave(self) -> NoReturn:
        epoch, step = self.state.epoch, self.state.step
        self.log.write("interrupted", epoch, step)
        where = f"at epoch {epoch + 1}, step {step}" if step else f"after epoch {epoch}"
        kept = "continue with --resume" if self.file.path is not None else "nothing was kept"
        raise Interrupted(f"stopped {where}; {kept}", self.stop.status)

    def fall_back(self, found: Diverged) -> None:
        """Enter the divergence and go back to the last good weights."""
        state, (epoch, step) = self.state, found.args
        state.model.load_state_dict(state.last_good)
        state.history.status, state.history.diverged_at = "diverged", (epoch, step)
        self.log.write("diverged", epoch - 1, step)
        self.progress.say(f"diverged at epoch {epoch}, step {step}: the loss or a weight is not finite")


def _snapshot(model: nn.Module) -> dict[str, Any]:
    state = model.state_dict()
    return {
        key: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value for key, value in state.items()
    }


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    return tuple(_to(entry, device) for entry in value) if isinstance(value, (tuple, list)) else value


def _line(record: EpochRecord, epochs: int) -> str:
    parts = [f"epoch {record.epoch}/{epochs}"]
    if record.train_loss is not None:
        parts.append(f"loss {record.train_loss:.4f}  accuracy {record.train_accuracy:.2%}")
        parts.append(f"{record.samples_per_second:.0f} samples/s")
    if record.valid_loss is not None:
        parts.append(f"validation: loss {record.valid_loss:.4f}  accuracy {record.valid_accuracy:.2%}")
    return "  ".join(parts)
