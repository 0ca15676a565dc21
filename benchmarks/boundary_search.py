"""HopSkipJump of autovul and of ART on one network and the same images, in turns; prints seconds, queries, distances.

    python benchmarks/boundary_search.py --model darts --layers 8 --init_channels 16 --images 6 --threads 1

The network is untrained; its classifier's bias is shifted so that images and random noise get different classes.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from typing import Any

import torch

from autovul.vision import datasets, models
from autovul.vision.attacks.art_engine import prepare_art
from autovul.vision.attacks.membership.art_boundary import boundary_points
from autovul.vision.attacks.membership.hop_skip_jump import HopSkipJump
from autovul.vision.attacks.victim import Victim, questioned


def shifted(name: str, images: torch.Tensor, **options: Any) -> models.ImageModel:
    """A network that sees different classes in images and in noise."""
    model = models.create(name, **options)
    with torch.no_grad():
        noise = torch.rand(len(images), *images.shape[1:])
        middle = (model(images).mean(0) + model(noise).mean(0)) / 2
        next(p for p in reversed(list(model.parameters())) if p.ndim == 1).sub_(middle)
    return model


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="darts")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--init_channels", type=int)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    images = datasets.create("digits").valid.pixels(slice(given.images))
    sizes = {name: value for name in ("layers", "init_channels") if (value := getattr(given, name)) is not None}
    model = shifted(given.model, images, **sizes).to(given.device)
    attack, seconds = HopSkipJump(max_iter=given.iterations), {"autovul": 0.0, "art": 0.0}
    prepare_art()
    import art.attacks.evasion  # noqa: F401  # before the clock runs

    for _ in range(given.repeats):
        for name, engine in (("autovul", HopSkipJump.run), ("art", boundary_points)):
            # ART's users hand it the network as it is.
            with questioned(model) if name == "autovul" else nullcontext(Victim(model)) as victim:
                classes = victim.labels(images).cpu()
                start = time.perf_counter()
                points = engine(attack, victim, images, classes, [*range(given.images)])
                seconds[name] += time.perf_counter() - start
            distance = (points.images.cpu() - images).flatten(1).norm(dim=1).median().item()
            queries = points.queries.double().mean().item()
            print(f"{name:>8}: {seconds[name]:8.1f} s so far, {queries:.0f} queries an image, median L2 {distance:.3f}")
    print(f"ratio art / autovul: {seconds['art'] / seconds['autovul']:.2f}")


if __name__ == "__main__":
    main()
