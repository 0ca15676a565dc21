"""HopSkipJump of autovul and of ART on one network and the same images: time, queries, and the distances found.

    python benchmarks/boundary_search.py darts --layers 8 --init_channels 16 --images 6

The network is untrained; its classifier's bias is shifted so that images and random noise get different classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from timing import Record, begin, installed, parser

from autovul.vision import datasets, models
from autovul.vision.attacks.art_engine import prepare_art
from autovul.vision.attacks.hop_skip_jump import BoundaryPoints, HopSkipJump
from autovul.vision.attacks.membership.art_boundary import boundary_points
from autovul.vision.attacks.victim import Victim, questioned


def shifted(name: str, images: torch.Tensor, device: torch.device, **options: Any) -> models.ImageModel:
    """A network that sees different classes in images and in noise."""
    model = models.create(name, **options)
    with torch.no_grad():
        noise = torch.rand(len(images), *images.shape[1:])
        middle = (model(images).mean(0) + model(noise).mean(0)) / 2
        next(p for p in reversed(list(model.parameters())) if p.ndim == 1).sub_(middle)
    return model.to(device)


def engines(
    model: models.ImageModel, images: torch.Tensor, iterations: int, found: dict[str, BoundaryPoints]
) -> dict[str, Callable[[], object]]:
    """The search by each engine that is installed; what it finds is put into ``found``."""
    attack = HopSkipJump(max_iter=iterations)

    def engine(side: str, search: Any) -> Callable[[], object]:
        def run() -> None:
            # ART's users hand it the network as it is.
            with questioned(model) if side == "autovul" else nullcontext(Victim(model)) as victim:
                classes = victim.labels(images).cpu()
                found[side] = search(attack, victim, images, classes, [*range(len(images))])

        return run

    sides = {"autovul": engine("autovul", HopSkipJump.run)}
    if installed("art"):
        prepare_art()
        import art.attacks.evasion  # noqa: F401  # before the clock runs

        sides = {"art": engine("art", boundary_points), **sides}
    return sides


def compare(record: Record, name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """Both engines on one network."""
    images = datasets.create("digits").valid.pixels(slice(arguments.images))
    sizes = {key: value for key in ("layers", "init_channels") if (value := getattr(arguments, key)) is not None}
    model = shifted(name, images, device, **sizes)
    found: dict[str, BoundaryPoints] = {}
    sides = engines(model, images, arguments.iterations, found)
    seconds = record.compare(f"HopSkipJump, {name}", sides, [*sides][0], units=len(images), unit="images")
    for side, points in found.items():
        distance = (points.images.cpu() - images).flatten(1).norm(dim=1).median().item()
        queries = points.queries.double().mean().item()
        line = f"{side}: {queries:.0f} queries an image, median L2 distance {distance:.3f} of {len(images)} images"
        record.note(line, queries=queries, distance=distance)
    if "art" in sides:
        record.ratio("art / autovul", seconds, "art", "autovul")


def main() -> None:
    """Measure."""
    made = parser(__doc__, ["darts"], repeats=2)
    made.add_argument("--layers", type=int)
    made.add_argument("--init_channels", type=int)
    made.add_argument("--images", type=int, default=6)
    made.add_argument("--iterations", type=int, default=10)
    arguments = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in arguments.models:
        compare(record, name, arguments, device)
    record.save()


if __name__ == "__main__":
    main()
