"""How much faster gradient variance is than one image after the other: ratios, from one run.

    python benchmarks/gradient_variance.py resnet18_comp darts --samples 16 --repeats 3

Both sides compute the same in fp32, on the same threads, alternately; the best of the repeats counts. The loop is the
plain one: a backward pass an image, the norm clipped, running sums of g and g². ``--clock cpu`` counts processor time
in place of wall-clock time, which is what to use on a machine that others use too (with --threads 1).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autovul.vision import models
from autovul.vision.tools import gradient_variance
from autovul.vision.utils.model_archs.darts.genotypes import MITIGATED, SEARCHED

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


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


def best_times(sides: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each side, best of the repeats; the sides take turns, after one turn each to warm up."""
    best = dict.fromkeys(sides, math.inf)
    for turn in range(repeats + 1):
        for name, side in sides.items():
            start = clock()
            side()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                best[name] = min(best[name], clock() - start)
    return best


def compare(name: str, arguments: argparse.Namespace) -> None:
    """Print the ratio of each method for one network."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = models.create(name).to(device)
    images = torch.rand(arguments.samples, 3, 32, 32, device=device)
    labels = torch.randint(10, (arguments.samples,), device=device)

    def ours(method: Any) -> Callable[[], object]:
        return lambda: gradient_variance(model, images, labels, chunk=arguments.chunk, method=method)

    sides: dict[str, Callable[[], object]] = {"loop": lambda: one_by_one(model, images, labels)}
    sides |= {f"gradient_variance({method})": ours(method) for method in arguments.methods}
    seconds = best_times(sides, arguments.repeats, CLOCKS[arguments.clock])
    for side, time_taken in seconds.items():
        print(
            f"{name:22s} {side:28s} {1e3 * time_taken / arguments.samples:8.1f} ms an image"
            f"   {seconds['loop'] / time_taken:5.2f}x",
            flush=True,
        )


def main() -> None:
    """Print the ratios of each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["resnet18_comp", "darts"], help="networks, or all (the 20)")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--methods", nargs="+", default=["auto"], help="auto, layers, vmap, loop")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False
    manual = [name for name in models.list() if models.group(name) == "manual"]
    everything = [*manual, *SEARCHED, *MITIGATED]
    for name in everything if arguments.models == ["all"] else arguments.models:
        compare(name, arguments)


if __name__ == "__main__":
    main()
