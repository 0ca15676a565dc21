"""Knockoff nets of autovul and of ART: the same victim, images, budget and recipe.

    python benchmarks/extraction.py resnet18_comp --budget 192 --epochs 2

Both ask the victim for classes and train a fresh network on them. Data are random images: what is measured is time.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from timing import Record, begin, installed, parser
from torch import nn

from autovul.base.training.options import TrainingOptions
from autovul.vision import attacks, models
from autovul.vision.attacks.art_engine import prepare_art
from autovul.vision.attacks.base import Setup
from autovul.vision.datasets import ImageDataset
from autovul.vision.datasets.dataset import ImageSplit

BATCH, LR = 96, 0.025


def random_dataset(count: int) -> ImageDataset:
    """Random images; a single one to validate on, which ART does not do."""
    images = torch.randint(256, (count + 1, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (count + 1,))
    train, valid = ImageSplit(images[1:], labels[1:]), ImageSplit(images[:1], labels[:1])
    classes = [str(number) for number in range(10)]
    return ImageDataset("random", classes, train, valid, (0.5,) * 3, (0.25,) * 3)


def ours(model: nn.Module, dataset: ImageDataset, budget: int, epochs: int, precision: str) -> None:
    """Ask and train."""
    attack = attacks.create("knockoff", nb_stolen=budget, augment="none")
    recipe: dict[str, Any] = {"epoch": epochs, "lr": LR, "weight_decay": 0.0, "precision": precision, "save": False}
    setup = Setup(batch_size=BATCH, training=TrainingOptions(**recipe, validate_interval=epochs))
    attack.steal(model, attack.query(model, dataset, setup), dataset, setup)


def by_art(model: nn.Module, name: str, pixels: Any, budget: int, epochs: int, device: torch.device) -> None:
    """The same as its users write it."""
    from art.attacks.extraction import KnockoffNets
    from art.estimators.classification import PyTorchClassifier

    def classifier(network: nn.Module, **options: Any) -> Any:
        kind = "gpu" if device.type == "cuda" else "cpu"
        loss = nn.CrossEntropyLoss()
        return PyTorchClassifier(network, loss, (3, 32, 32), 10, clip_values=(0, 1), device_type=kind, **options)

    thief = models.create(name).to(device)
    optimiser = torch.optim.SGD(thief.parameters(), lr=LR, momentum=0.9)
    attack = KnockoffNets(
        classifier(model),
        batch_size_fit=BATCH,
        batch_size_query=BATCH,
        nb_epochs=epochs,
        nb_stolen=budget,
        sampling_strategy="random",
        use_probability=False,
        verbose=False,
    )
    attack.extract(pixels, thieved_classifier=classifier(thief, optimizer=optimiser))


def compare(record: Record, name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """All sides on one network."""
    budget, epochs = arguments.budget, arguments.epochs
    dataset = random_dataset(budget)
    model = models.create(name).to(device)
    sides = {}
    if installed("art"):
        prepare_art()
        pixels = dataset.train.pixels().numpy()
        sides["art"] = lambda: by_art(model, name, pixels, budget, epochs, device)
    sides["autovul, fp32"] = lambda: ours(model, dataset, budget, epochs, "fp32")
    sides["autovul, --precision auto"] = lambda: ours(model, dataset, budget, epochs, "auto")
    title = f"extraction, {budget} queries, {epochs} epochs, {name}"
    record.compare(title, sides, [*sides][0], units=budget * epochs, unit="images")


def main() -> None:
    """Measure."""
    made = parser(__doc__, ["resnet18_comp"], repeats=3)
    made.add_argument("--budget", type=int, default=192)
    made.add_argument("--epochs", type=int, default=2)
    arguments = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in arguments.models:
        compare(record, name, arguments, device)
    record.save()


if __name__ == "__main__":
    main()
