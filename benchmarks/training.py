"""A training step with its augmentation: autovul, the plain loop, and the forward and backward passes alone.

    python benchmarks/training.py resnet18_comp darts --batch 96
    python benchmarks/training.py all --only floor auto --batch 16 --repeats 2
    python benchmarks/training.py resnet18_comp --only fp32 compiled auto compiled_auto

Random crop, mirroring and Cutout; SGD with momentum, gradients clipped. The floor has neither data to prepare nor
weights to update. The plain loop takes torchvision's transforms image by image in a DataLoader, and reads the loss in
every step. What is compiled is compiled in the round that warms up.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from timing import Record, begin, everything, parser
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import models
from autovul.vision.datasets import Augmentation, ImageBatches

CUTOUT, CLIP, LR = 16, 5.0, 0.025
TITLES = {
    "floor": "floor: forward and backward, fp32",
    "fp32": "autovul, fp32",
    "bf16": "autovul, --precision bf16",
    "auto": "autovul, --precision auto",
    "plain": "plain loop with a DataLoader, fp32",
    "compiled": "autovul, --compile, fp32",
    "compiled_auto": "autovul, --compile --precision auto",
}


class PilImages(Dataset[Any]):
    """What torchvision's data sets do: a PIL image for every index, then the transforms."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images.permute(0, 2, 3, 1).numpy(), labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                self._cut_out,
            ]
        )

    @staticmethod
    def _cut_out(image: Tensor) -> Tensor:
        row, column = (int(torch.randint(33, ())) - CUTOUT // 2 for _ in range(2))
        image[:, max(0, row) : max(0, row + CUTOUT), max(0, column) : max(0, column + CUTOUT)] = 0
        return image

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def floor(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Forward and backward passes on data in place."""
    model.train()
    for x, y in batches:
        model.zero_grad(set_to_none=True)
        cross_entropy(model(x), y).backward()


def plain(model: nn.Module, loader: DataLoader[Any], device: torch.device) -> None:
    """The loop that one writes."""
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    total = 0.0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        optimiser.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        total += loss.item()


def ours(model: nn.Module, batches: ImageBatches, device: torch.device, **options: Any) -> None:
    """An epoch of the trainer, with all that it does at an epoch's beginning and end."""
    recipe = TrainingOptions(epoch=1, lr=LR, grad_clip=CLIP, **options)
    Trainer(recipe, device=device, seed=0, progress=Progress("off")).fit(model, batches)


def ways(name: str, arguments: argparse.Namespace, device: torch.device) -> dict[str, Callable[[], object]]:
    """Every side on one network, by its name in ``TITLES``."""
    count = arguments.batch * arguments.steps
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (count,))
    batches = ImageBatches(images, labels, arguments.batch, device, seed=0, augment=Augmentation(cutout_length=CUTOUT))
    resident = [*batches.epoch(0)]
    settings = {"shuffle": True, "num_workers": arguments.workers, "pin_memory": device.type == "cuda"}
    loader: DataLoader[Any] = DataLoader(PilImages(images, labels), arguments.batch, **settings)
    model = models.create(name).to(device)
    nets = {side: copy.deepcopy(model) for side in TITLES}
    return {
        "floor": lambda: floor(nets["floor"], resident),
        "fp32": lambda: ours(nets["fp32"], batches, device),
        "bf16": lambda: ours(nets["bf16"], batches, device, precision="bf16"),
        "auto": lambda: ours(nets["auto"], batches, device, precision="auto"),
        "plain": lambda: plain(nets["plain"], loader, device),
        "compiled": lambda: ours(nets["compiled"], batches, device, compile=True),
        "compiled_auto": lambda: ours(nets["compiled_auto"], batches, device, compile=True, precision="auto"),
    }


def compare(record: Record, name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """The chosen sides on one network."""
    sides = ways(name, arguments, device)
    chosen = {TITLES[side]: call for side, call in sides.items() if side in arguments.only}
    base = TITLES["floor" if "floor" in arguments.only else arguments.only[0]]
    title = f"training, batches of {arguments.batch}, {name}"
    seconds = record.compare(title, chosen, base, units=arguments.batch * arguments.steps, unit="images")
    if {"auto", "plain"} <= {*arguments.only}:
        record.ratio("plain loop / --precision auto", seconds, TITLES["plain"], TITLES["auto"])


def main() -> None:
    """Measure."""
    made = parser(__doc__, ["resnet18_comp", "darts"], repeats=3)
    made.add_argument("--batch", type=int, default=96)
    made.add_argument("--steps", type=int, default=2, help="batches of an epoch")
    made.add_argument("--workers", type=int, default=0, help="processes of the DataLoader")
    made.add_argument("--only", nargs="+", choices=TITLES, default=["floor", "fp32", "auto", "plain"])
    arguments = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in everything(arguments.models):
        compare(record, name, arguments, device)
    record.save()


if __name__ == "__main__":
    main()
