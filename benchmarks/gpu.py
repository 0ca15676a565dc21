"""What is to be found out on a GPU, one step after the other: first the tests for CUDA devices, then the benchmarks.

    python benchmarks/gpu.py --list
    python benchmarks/gpu.py --limit 540        # and again, until it says that nothing is left

Each step leaves ``{out}/{step}.json`` when it has ended, and is left out where that file exists: delete the file to
repeat the step. What does not end within the limit is stopped and begins anew in the next call; if it had the whole
limit for itself, its file says so and it is not tried again. The exit status is 0 when every step has ended well, 1
when one has failed, 3 when some are left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
NETWORKS = ("resnet18_comp", "darts")
# By script: what it is told besides --json and --device, for each network.
BENCHMARKS = {
    "training": "--batch 96 --steps 20 --workers 8 --only floor fp32 auto plain",
    "evasion": "--batch 100",
    "gradient_variance": "--samples 256 --chunk 128",
    "profiles": "--batch 96",
    "boundary_search": "--images 100",
    "extraction": "--budget 1920",
    "scaling": "--batches 32 96 256 --microbatches 32 --processes 1 --samples 128 512",
}
LAST = ("compiled", "training", "--batch 96 --steps 20 --only fp32 compiled auto compiled_auto")
LINES = 60  # of its output that a step's file holds


def steps() -> dict[str, list[str]]:
    """Name and command of each, with places for the files that a command writes."""
    found = {}
    for path in sorted((ROOT / "tests" / "cuda").glob("test_*.py")):
        words = ["-m", "pytest", "-q", "-m", "cuda", "--show-capture=no", "--junitxml={figures}"]
        found[path.stem] = [*words, str(path.relative_to(ROOT))]
    named = [(script, script, words) for script, words in BENCHMARKS.items()]
    for title, script, words in [*named, LAST]:
        for network in NETWORKS:
            command = [
                f"benchmarks/{script}.py",
                network,
                *words.split(),
                "--json",
                "{figures}",
                "--device",
                "{device}",
            ]
            found[f"{title}_{network}"] = command
    return found


def figures_of(path: Path) -> Any:
    """What a command has written: a benchmark's JSON; of tests the counts, and the names of those that failed."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    if not text.startswith("<"):
        return json.loads(text)
    cases = [*ElementTree.fromstring(text).iter("testcase")]
    outcomes: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    for case in cases:
        for kind, names in outcomes.items():
            if (found := case.find(kind)) is not None:
                names.append(f"{case.get('name')}: {(found.get('message') or '')[:300]}")
    return {"tests": len(cases), **outcomes}


def run(name: str, command: list[str], out: Path, seconds: float, device: str) -> dict[str, Any] | None:
    """Run a step; None if its time was up."""
    figures = out / f"{name}.part"
    figures.unlink(missing_ok=True)
    words = [word.format(figures=figures.absolute(), device=device) for word in command]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if device == "cpu":
        environment["AUTOVUL_CUDA_TESTS_ON"] = "cpu"
    start = time.monotonic()
    with open(out / f"{name}.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            return None
        finally:
            if process.poll() is None:  # Ctrl-C
                process.kill()
        log.seek(0)
        output = log.read().splitlines()[-LINES:]
    return {"status": status, "seconds": time.monotonic() - start, "figures": figures_of(figures), "output": output}


def main() -> int:
    """Run what is left, as far as the limit goes."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", help="these steps alone")
    made.add_argument("--out", type=Path, default=Path("gpu_results"), help="folder of the results (gpu_results)")
    made.add_argument("--limit", type=float, default=540.0, help="seconds of this call at the most (540)")
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the steps themselves")
    made.add_argument("--list", action="store_true", help="say how things stand, and run nothing")
    arguments = made.parse_args()
    everything, deadline = steps(), time.monotonic() + arguments.limit
    if unknown := {*arguments.names} - {*everything}:
        made.error(f"no such step: {', '.join(sorted(unknown))}; --list names all")
    if not arguments.list and arguments.device == "cuda" and not torch.cuda.is_available():
        made.error("PyTorch sees no CUDA device here")
    arguments.out.mkdir(parents=True, exist_ok=True)
    states, begun = {}, 0
    for name in arguments.names or everything:
        path = arguments.out / f"{name}.json"
        left = deadline - time.monotonic()
        if not path.exists() and not arguments.list and left > 1:
            found = run(name, everything[name], arguments.out, left, arguments.device)
            begun += 1
            if found is None and begun == 1:
                found = {"status": "out of time", "seconds": left, "figures": None, "output": []}
            if found is not None:
                part = path.with_suffix(".part")
                part.write_text(json.dumps({"step": name, "command": everything[name], **found}, indent=1))
                part.replace(path)
        states[name] = json.loads(path.read_text())["status"] if path.exists() else None
        words = {None: "left", 0: "ok"}.get(states[name], f"failed ({states[name]})")
        print(f"{name:40s} {words}", flush=True)
    if any(status is None for status in states.values()):
        return 3
    return int(any(states.values()))


if __name__ == "__main__":
    sys.exit(main())
