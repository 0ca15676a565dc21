"""Time and peak memory of training against batch, microbatch, width, processes; of gradient variance against samples.

    python benchmarks/scaling.py resnet18_comp
    python benchmarks/scaling.py darts --batches 8 16 --widths --processes 1 2

Every row is a process of its own, because the peak of a process never falls.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from timing import CLOCKS, Record, begin, parser

from autovul.base import distributed
from autovul.base.environ import choose_device, peak_memory
from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import models
from autovul.vision.datasets import ImageBatches
from autovul.vision.tools import gradient_variance

STEPS, BATCH = 2, 32


def one(job: dict[str, Any]) -> dict[str, float]:
    """Do a job twice, the first time to warm up. Returns seconds an image, and the memory that it took."""
    torch.set_num_threads(job["threads"])
    with distributed.joined(job["device"]):
        device = choose_device(job["device"])
        sizes = {"width": job["width"]} if job["width"] != 1 else {}
        model = models.create(job["model"], **sizes).to(device)
        count = job["samples"] or job["batch"] * STEPS
        images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8)
        labels = torch.randint(10, (count,))
        options = TrainingOptions(epoch=1, microbatch=job["microbatch"], precision=job["precision"])
        before = peak_memory(device) or 0
        for _ in range(2):
            start = CLOCKS[job["clock"]]()
            if job["samples"]:
                gradient_variance(model, images.to(device) / 255, labels.to(device))
            else:
                batches = ImageBatches(images, labels, job["batch"], device)
                Trainer(options, device=device, seed=0, progress=Progress("off")).fit(model, batches)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = CLOCKS[job["clock"]]() - start
        return {"seconds": seconds / count, "bytes": (peak_memory(device) or 0) - before}


def measure(record: Record, title: str, **changes: Any) -> None:
    """One row."""
    arguments, job = record.arguments, {"batch": BATCH, "microbatch": None, "width": 1, "samples": None}
    job |= {name: getattr(arguments, name) for name in ("threads", "clock", "precision")}
    job |= {"device": record.device.type, **changes}
    processes = job.pop("processes", 1)
    job["threads"] = max(1, job["threads"] // processes)
    command = [sys.executable, str(Path(__file__).resolve()), "--one", json.dumps(job)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        record.note(f"{title:42s} failed: {done.stderr.strip().splitlines()[-1]}")
        return
    found = json.loads(done.stdout.splitlines()[-1])
    line = f"{title:42s} {1e3 * found['seconds']:8.1f} ms an image {found['bytes'] / 2**20:8.0f} MiB"
    record.note(line, **job, processes=processes, **found)


def main() -> None:
    """Measure."""
    if sys.argv[1:2] == ["--one"]:
        found = one(json.loads(sys.argv[2]))
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found))
        return
    made = parser(__doc__, ["resnet18_comp"])
    made.add_argument("--batches", type=int, nargs="*", default=[8, 16, 32, 64])
    made.add_argument("--microbatches", type=int, nargs="*", default=[4, 8, 16])
    made.add_argument("--widths", type=float, nargs="*", default=[0.25, 0.5])
    made.add_argument("--processes", type=int, nargs="*", default=[2])
    made.add_argument("--samples", type=int, nargs="*", default=[16, 32, 64], help="of gradient variance")
    made.add_argument("--precision", default="fp32")
    arguments: argparse.Namespace = made.parse_args()
    record = Record(arguments, begin(arguments))
    for name in arguments.models:
        for batch in arguments.batches:
            measure(record, f"{name}, batches of {batch}", model=name, batch=batch)
        for size in arguments.microbatches:
            measure(record, f"{name}, batches of {BATCH} in parts of {size}", model=name, microbatch=size)
        for width in arguments.widths:
            measure(record, f"{name}, batches of {BATCH}, width {width:g}", model=name, width=width)
        for size in arguments.processes:
            measure(record, f"{name}, batches of {BATCH}, {size} processes", model=name, processes=size)
        for count in arguments.samples:
            measure(record, f"{name}, gradient variance of {count}", model=name, samples=count)
    record.save()


if __name__ == "__main__":
    main()
