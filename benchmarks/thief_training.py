"""Training a thief against plain training of the same network on as many images, in turns; prints seconds and ratios.

    python benchmarks/thief_training.py --model resnet18_comp --width 0.25 --budget 960 --epochs 2

The clock counts this process's own seconds, so that other programs disturb little. Data are random: time is measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import attacks, models
from autovul.vision.attacks.base import Setup
from autovul.vision.datasets import Augmentation, ImageDataset, ImageSplit


def random_data(count: int) -> ImageDataset:
    """Random images and labels; a few to validate on."""
    splits = [ImageSplit(torch.randint(256, (n, 3, 32, 32)).to(torch.uint8), torch.arange(n) % 10) for n in (count, 96)]
    return ImageDataset("random", [*"0123456789"], splits[0], splits[1], (0.5,) * 3, (0.25,) * 3)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18_comp")
    parser.add_argument("--width", type=float)
    parser.add_argument("--budget", type=int, default=960)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    dataset = random_data(given.budget)
    sizes = {} if given.width is None else {"width": given.width}
    victim = models.create(given.model, dataset=dataset, **sizes)
    recipe = TrainingOptions(epoch=given.epochs, lr=0.01, validate_interval=given.epochs)

    def plain(folder: Path) -> None:
        network = models.create(given.model, dataset=dataset, **sizes)
        batches = dataset.train_batches(96, "cpu", 1, Augmentation())
        Trainer(
            recipe, device="cpu", seed=1, state_path=folder / "plain.state", log_path=folder / "plain.jsonl",
            progress=Progress("off"),
        ).fit(network, batches, dataset.valid_batches(100))  # fmt: skip

    def thief(label_mode: str) -> Callable[[Path], None]:
        attack = attacks.create("knockoff", nb_stolen=given.budget, label_mode=label_mode)
        transfer = attack.query(victim, dataset)
        return lambda folder: attack.steal(
            victim, transfer, dataset, Setup(training=recipe, folder=folder, log_folder=folder)
        )

    sides = {"plain": plain, "hard": thief("hard"), "soft": thief("soft")}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.repeats):
        for name, side in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                side(Path(folder))
                seconds[name].append(time.process_time() - start)
    for name, found in seconds.items():
        ratio = statistics.median(found) / statistics.median(seconds["plain"])
        print(f"{name:>6}: {', '.join(f'{each:.2f}' for each in found)} s; median / plain's {ratio:.3f}")


if __name__ == "__main__":
    main()
