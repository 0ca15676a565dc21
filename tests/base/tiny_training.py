"""A training problem of milliseconds, and a program that trains on it until it is stopped or killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autovul.base.checkpoint import save_state
from autovul.base.errors import Interrupted
from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.base.training import state_file

CLASSES = 3
OPTIONS = TrainingOptions(epoch=5, lr=0.1, lr_scheduler=True, grad_clip=0.5, validate_interval=2)


class Points:
    """Points of three classes; the order and a little noise depend on (seed, epoch, batch) alone.

    Args:
        count: Number of points; 11 in batches of 4 leave a partial batch.
        seed: Of points and order.
        visit: Called with epoch and batch before a batch is given.
        soft: Give probabilities instead of labels.
    """

    def __init__(
        self,
        count: int = 11,
        batch_size: int = 4,
        seed: int = 0,
        visit: Callable[[int, int], object] = lambda epoch, batch: None,
        soft: bool = False,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.num_samples, self.batch_size, self.seed, self.visit = count, batch_size, seed, visit
        self.y = torch.arange(count) % CLASSES
        centres = 2 * torch.eye(CLASSES, 6)
        self.x = centres[self.y] + 0.5 * torch.randn(count, 6, generator=generator)
        if soft:
            self.y = 0.9 * nn.functional.one_hot(self.y, CLASSES) + 0.1 / CLASSES

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Any]]:
        order = torch.randperm(self.num_samples, generator=torch.Generator().manual_seed(1000 * self.seed + epoch))
        for batch in range(start, len(self)):
            self.visit(epoch, batch)
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            noise = torch.Generator().manual_seed(epoch * 100 + batch)
            yield self.x[chosen] + 0.1 * torch.randn(len(chosen), 6, generator=noise), self.y[chosen]


class TinyNet(nn.Module):
    """Batch norm, dropout, and the parts ``features`` and ``classifier``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.classifier = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Doubtful(TinyNet):
    """Its weights and its loss in training are finite, and from some step on its logits in validation are not."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        lost = not self.training and self.features[1].num_batches_tracked > self.steps
        return super().forward(x) * (torch.nan if lost else 1)


def tiny_net(seed: int = 7) -> TinyNet:
    torch.manual_seed(seed)
    return TinyNet()


def quiet_trainer(options: TrainingOptions = OPTIONS, **arguments: Any) -> Trainer:
    return Trainer(options, **{"device": "cpu", "seed": 1, "progress": Progress("off"), **arguments})


def run(folder: Path, pause: float, report: Callable[[], object]) -> None:
    """Train, or go on with the training, and write the last weights beside the state.

    Args:
        folder: For weights, state and log.
        pause: Seconds before each batch.
        report: Called before each batch.
    """
    torch.set_num_threads(1)

    def visit(epoch: int, batch: int) -> None:
        report()
        time.sleep(pause)

    state_file.LARGEST_SHARE = float("inf")  # save at every epoch's end, however short
    options = OPTIONS.model_copy(update={"resume": True})
    trainer = quiet_trainer(options, state_path=folder / "net.state", log_path=folder / "log.jsonl")
    model = tiny_net()
    trainer.fit(model, Points(visit=visit), Points(seed=5))
    save_state(folder / "net.pth", model.state_dict())


def main() -> None:
    """The program: a folder, and the pause before each batch."""
    folder, pause = sys.argv[1:]
    try:
        run(Path(folder), float(pause), lambda: print("batch", flush=True))
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)


if __name__ == "__main__":
    main()
