"""What a training run tells about itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from autovul.base.training.early_loss import early_loss

COUNTED = ("steps", "forward", "backward")


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a data set.

    Args:
        loss: Mean cross entropy, nats.
        accuracy: Share of samples whose highest logit is the label's, 0 … 1.
        top5: Share of samples whose label is among the five highest, 0 … 1; none with fewer than six classes.
        count: Number of samples.
    """

    loss: float
    accuracy: float
    top5: float | None
    count: int


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; number 0 is the validation before the first, without training figures.

    Args:
        epoch: From 1.
        lr: Learning rate at the epoch's beginning.
        train_loss: Mean loss over the epoch, as the weights moved, nats.
        train_accuracy: Accuracy over the epoch, as the weights moved, 0 … 1.
        samples_per_second: Training samples a second, validation not counted.
        seconds: Duration of the training, validation not counted.
        valid_loss: Mean cross entropy after the epoch, where it was measured.
        valid_accuracy: Accuracy after the epoch, 0 … 1, where it was measured.
    """

    epoch: int
    lr: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    samples_per_second: float | None = None
    seconds: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None

    def row(self) -> dict[str, float]:
        """For a result's series: accuracies in percent, without what was not measured or is not finite."""
        row = {name: value for name, value in asdict(self).items() if value is not None and math.isfinite(value)}
        return {name: 100 * value if name.endswith("accuracy") else value for name, value in row.items()}


@dataclass
class History:
    """The course of a run.

    Args:
        records: One for each epoch done, after the validation before the first.
        status: ``ok``, or ``diverged`` when a loss or a weight stopped being finite.
        precision: The arithmetic in effect: ``fp32``, ``bf16`` or ``fp16``.
        best_state: The weights with the best validation accuracy (the later of equals), on the CPU.
        best_epoch: The epoch after which they were reached.
        diverged_at: Epoch and step, from 1, of the first value that was not finite.
        resumed_from: Epoch and step already done when this run took over.
        steps: Steps of the optimiser.
        forward, backward: Passes, each of one image; validation's are among them.
        counted: Whether they are those of the whole run: a state may come from a version that did not count.
    """

    records: list[EpochRecord] = field(default_factory=list)
    status: str = "ok"
    precision: str = "fp32"
    best_state: dict[str, Tensor] | None = None
    best_epoch: int | None = None
    diverged_at: tuple[int, int] | None = None
    resumed_from: tuple[int, int] | None = None
    steps: int = 0
    forward: int = 0
    backward: int = 0
    counted: bool = True

    def counts(self) -> dict[str, int]:
        """What the run took, for a result; nothing where that is not known."""
        return {name: getattr(self, name) for name in COUNTED} if self.counted else {}

    @property
    def best_accuracy(self) -> float | None:
        """Validation accuracy of `best_state`, 0 … 1."""
        found = [record.valid_accuracy for record in self.records if record.epoch == self.best_epoch]
        return found[0] if found else None

    @property
    def last_accuracy(self) -> float | None:
        """Validation accuracy after the last epoch, 0 … 1; none if that was not validated."""
        return self.records[-1].valid_accuracy if self.records else None

    def early_loss(self, epochs: int) -> float | None:
        """`early_loss` of a run of so many epochs."""
        return early_loss({r.epoch: r.train_loss for r in self.records if r.train_loss is not None}, epochs)

    def to_plain(self) -> dict[str, Any]:
        """The records and the best weights as plain values and tensors, for a training state."""
        return {
            "records": [asdict(record) for record in self.records],
            "best_state": self.best_state,
            "best_epoch": self.best_epoch,
            **self.counts(),
        }

    def from_plain(self, plain: dict[str, Any]) -> None:
        """Take over what `to_plain` gave."""
        self.records = [EpochRecord(**record) for record in plain["records"]]
        self.best_state, self.best_epoch = plain["best_state"], plain["best_epoch"]
        self.counted = all(name in plain for name in COUNTED)
        self.steps, self.forward, self.backward = (plain.get(name, 0) for name in COUNTED)


def total(histories: Iterable[History]) -> dict[str, int]:
    """What several runs took together; nothing where that is not known of each."""
    counts = [history.counts() for history in histories]
    return {name: sum(count[name] for count in counts) for name in COUNTED} if all(counts) else {}
