"""Where the time goes: the largest operators of each job, the plain way and autovul's; on a GPU, who waits for whom.

    python benchmarks/profiles.py resnet18_comp darts
    python benchmarks/profiles.py darts --jobs training --device cuda --traces traces

A job runs once to warm up and once under PyTorch's profiler. Shares are of the time in operators, on the processor or,
where there is one, on the GPU. With a GPU three more figures tell whether it is kept busy: the share of the wall-clock
time in which it computes, the kernels launched, and how often the host waited for it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boundary_search
import evasion
import torch
import training
from gradient_variance import one_by_one
from timing import Record, begin, parser
from torch.profiler import ProfilerActivity, profile

from autovul.vision import attacks, datasets
from autovul.vision.models.quick import quick
from autovul.vision.tools import gradient_variance

Sides = dict[str, Callable[[], object]]
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def pgd(name: str, arguments: argparse.Namespace, device: torch.device) -> Sides:
    """Seven steps."""
    model, images, target = evasion.setting(name, arguments.batch, device)
    eps, alpha = 8 / 255, 2 / 255
    ours = attacks.create("pgd", iteration=evasion.STEPS, pgd_eps=eps, pgd_alpha=alpha, stop_threshold=None)
    return {
        "plain": lambda: evasion.three_forwards(model, images, target, eps, alpha),
        "autovul": lambda: ours.perturb(quick(model), images, target),
    }


def train(name: str, arguments: argparse.Namespace, device: torch.device) -> Sides:
    """Two steps, with augmentation."""
    shape = argparse.Namespace(batch=arguments.batch, steps=2, workers=0)
    sides = training.ways(name, shape, device)
    return {"plain": sides["plain"], "autovul": sides["fp32"], "autovul, --precision auto": sides["auto"]}


def membership(name: str, arguments: argparse.Namespace, device: torch.device) -> Sides:
    """Two iterations of HopSkipJump, a few images; the plain way is ART's."""
    images = datasets.create("digits").valid.pixels(slice(max(1, arguments.batch // 4)))
    return boundary_search.engines(boundary_search.shifted(name, images, device), images, 2, {})


def variance(name: str, arguments: argparse.Namespace, device: torch.device) -> Sides:
    """Gradient variance of a batch."""
    model, images, labels = evasion.setting(name, arguments.batch, device)
    return {
        "plain": lambda: one_by_one(model, images, labels),
        "autovul": lambda: gradient_variance(model, images, labels),
    }


JOBS = {"pgd": pgd, "training": train, "membership": membership, "gradient_variance": variance}


def look(record: Record, title: str, job: Callable[[], object], arguments: argparse.Namespace) -> None:
    """Profile one call and print its largest operators."""
    cuda = record.device.type == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    job()
    wait()
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiler:
        job()
        wait()
        seconds = time.perf_counter() - start
    events = profiler.key_averages()
    measured = "self_device_time_total" if cuda else "self_cpu_time_total"
    operators = {event.key: getattr(event, measured) for event in events if event.key.startswith("aten::")}
    whole = sum(operators.values()) or 1.0
    largest = sorted(operators, key=operators.__getitem__, reverse=True)[: arguments.top]
    shares = {key.removeprefix("aten::"): operators[key] / whole for key in largest}
    figures: dict[str, Any] = {"title": title, "seconds": seconds, "shares": shares}
    line = f"{title}: {seconds:.2f} s; " + ", ".join(f"{key} {share:.0%}" for key, share in shares.items())
    if cuda:
        kernels = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        # The last wait is this function's own.
        waits = sum(event.count for event in events if event.key in WAITS) - 1
        busy = sum(event.self_device_time_total for event in kernels) / 1e6 / seconds
        figures |= {"kernels": len(kernels), "waits": waits, "busy": busy}
        line += f"; the GPU computes {busy:.0%} of the time, {len(kernels)} kernels, the host waits {waits} times"
    record.note(line, **figures)
    if arguments.traces is not None:
        arguments.traces.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "_" for letter in title)
        profiler.export_chrome_trace(str(arguments.traces / f"{name}.json.gz"))


def main() -> None:
    """Profile."""
    made = parser(__doc__, ["resnet18_comp", "darts"])
    made.add_argument("--jobs", nargs="+", choices=JOBS, default=[*JOBS])
    made.add_argument("--batch", type=int, default=16)
    made.add_argument("--top", type=int, default=6, help="operators that are named")
    made.add_argument("--traces", type=Path, help="write a trace of each (chrome://tracing, Perfetto) to this folder")
    arguments = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in arguments.models:
        for job in arguments.jobs:
            for side, call in JOBS[job](name, arguments, device).items():
                look(record, f"{job}, {name}, {side}", call, arguments)
    record.save()


if __name__ == "__main__":
    main()
