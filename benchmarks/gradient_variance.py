"""How much faster gradient variance is than one image after the other.

    python benchmarks/gradient_variance.py resnet18_comp darts --samples 16
    python benchmarks/gradient_variance.py all --samples 16 --repeats 2

Both sides compute the same in fp32. The loop is the plain one: a backward pass an image, the norm clipped, running sums
of g and g².
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from timing import Record, begin, everything, parser
from torch import Tensor, nn

from autovul.vision import models
from autovul.vision.tools import gradient_variance
from autovul.vision.tools.gradient_variance import CHUNK


def one_by_one(model: nn.Module, images: Tensor, labels: Tensor, clip_norm: float = 5.0) -> float:
    """The sum over parameters of √(E[g²] − E[g]²), the obvious way."""
    parameters = list(model.parameters())
    first = [torch.zeros_like(parameter) for parameter in parameters]
    second = [torch.zeros_like(parameter) for parameter in parameters]
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(image), label), parameters)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        scale = (clip_norm / norm).clamp(max=1.0)
        for total, squares, gradient in zip(first, second, gradients, strict=True):
            gradient = gradient * scale
            total += gradient
            squares += gradient.square()
    count = len(images)
    pairs = zip(first, second, strict=True)
    return math.fsum(float((s / count - (t / count).square()).clamp_min(0).sqrt().sum()) for t, s in pairs)


def compare(record: Record, name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """Each method on one network."""
    model = models.create(name).to(device)
    images = torch.rand(arguments.samples, 3, 32, 32, device=device)
    labels = torch.randint(10, (arguments.samples,), device=device)

    def ours(method: Any) -> Callable[[], object]:
        return lambda: gradient_variance(model, images, labels, chunk=arguments.chunk, method=method)

    expected, total = one_by_one(model, images, labels), gradient_variance(model, images, labels).total
    if not math.isclose(expected, total, rel_tol=1e-3):
        raise SystemExit(f"{name}: the sides find {expected:.6g} and {total:.6g}: they do not do the same")
    sides: dict[str, Callable[[], object]] = {"one by one": lambda: one_by_one(model, images, labels)}
    sides |= {f"gradient_variance({method})": ours(method) for method in arguments.methods}
    seconds = record.compare(f"gradient variance, {name}", sides, "one by one", units=len(images), unit="images")
    for side in [*sides][1:]:
        record.ratio(f"one by one / {side}", seconds, "one by one", side)


def main() -> None:
    """Measure."""
    made = parser(__doc__, ["resnet18_comp", "darts"], repeats=3)
    made.add_argument("--samples", type=int, default=16)
    made.add_argument("--chunk", type=int, default=CHUNK)
    made.add_argument("--methods", nargs="+", default=["auto"], help="auto, layers, vmap, loop")
    arguments = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in everything(arguments.models):
        compare(record, name, arguments, device)
    record.save()


if __name__ == "__main__":
    main()
