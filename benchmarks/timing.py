"""What the benchmarks share: sides that take turns, medians, ratios with their spread, and a JSON file.

A ratio is taken within each round and its median is given with the lowest and the highest, so that what disturbs the
machine for a while disturbs both sides of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from autovul.base import environ
from autovul.vision import models
from autovul.vision.utils.model_archs.darts.genotypes import MITIGATED, SEARCHED

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Sides = Mapping[str, Callable[[], object]]


def parser(description: str | None, networks: Sequence[str], **defaults: Any) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes.

    Args:
        description: The script's docstring.
        networks: Measured unless others are named.
        defaults: Other defaults than these: ``repeats`` 5.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("models", nargs="*", default=[*networks], help="networks by name, or all (the 20)")
    made.add_argument("--repeats", type=int, default=5, help="rounds that count, after one to warm up")
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    made.add_argument("--device", default="auto", help="auto, cpu, cuda")
    made.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: processor time, for a machine in use")
    made.add_argument("--json", type=Path, help="write all figures to this file")
    made.set_defaults(**defaults)
    return made


def begin(arguments: argparse.Namespace) -> torch.device:
    """Set threads, seed and fp32 arithmetic; give the device."""
    device = environ.choose_device(arguments.device)
    if device.type == "cuda" and arguments.clock == "cpu":
        raise SystemExit("--clock cpu does not see what a GPU does")
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    return device


class Record:
    """Prints comparisons as they are made, and keeps them for the JSON file."""

    def __init__(self, arguments: argparse.Namespace, device: torch.device) -> None:
        self.arguments, self.device = arguments, device
        self.rows: list[dict[str, Any]] = []

    def compare(self, title: str, sides: Sides, base: str, *, units: int, unit: str) -> dict[str, list[float]]:
        """Let the sides take turns and print each one's median and its ratio to ``base``.

        Args:
            title: What is measured, and of which network.
            sides: Name and what it does; the same work each time.
            base: The side that the others are compared with.
            units: How many units of work a call does.
            unit: What they are called.

        Returns:
            The seconds of every round.
        """
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(self.arguments.repeats + 1):
            for name, side in sides.items():
                taken = self._time(side)
                if turn:
                    seconds[name].append(taken)
        print(f"{title}, {units} {unit}, times that of {base} (lowest to highest of {self.arguments.repeats} rounds)")
        for name, found in seconds.items():
            ratios = [mine / its for mine, its in zip(found, seconds[base], strict=True)]
            median, ratio = statistics.median(found), statistics.median(ratios)
            print(
                f"  {name:34s} {1e3 * median / units:9.2f} ms a {unit.removesuffix('s')}   "
                f"{ratio:5.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
            self.rows.append(
                {
                    "title": title,
                    "side": name,
                    "base": base,
                    "units": units,
                    "unit": unit,
                    "seconds": found,
                    "ratio": ratio,
                    "ratios": ratios,
                }
            )
        return seconds

    def ratio(self, title: str, seconds: Mapping[str, Sequence[float]], above: str, below: str) -> None:
        """Print how many times as long one side took as another."""
        ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        ratio = statistics.median(ratios)
        self.note(f"{title}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})", ratio=ratio, ratios=ratios)

    def _time(self, side: Callable[[], object]) -> float:
        clock = CLOCKS[self.arguments.clock]
        self._wait()
        start = clock()
        side()
        self._wait()
        return clock() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def note(self, line: str, **figures: Any) -> None:
        """Print a line that is no time, and keep its figures."""
        print(f"  {line}", flush=True)
        self.rows.append({"note": line, **figures})

    def save(self) -> None:
        """Write the JSON file, if one was asked for."""
        if self.arguments.json is None:
            return
        options = {name: str(value) for name, value in vars(self.arguments).items()}
        machine = {**environ.describe(self.device), "processor": processor()}
        self.arguments.json.write_text(
            json.dumps({"options": options, "machine": machine, "rows": self.rows}, indent=1)
        )


def everything(names: Sequence[str]) -> list[str]:
    """The names; for "all" the paper's 20 networks."""
    manual = [name for name in models.list() if models.group(name) == "manual"]
    return [*manual, *SEARCHED, *MITIGATED] if [*names] == ["all"] else [*names]


def installed(*modules: str) -> list[str]:
    """Those of the modules that are here; of each other one a line says that it is left out."""
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    for name in modules:
        if name not in found:
            print(f"  left out: {name} is not installed (it is no dependency: pip install it to compare)", flush=True)
    return found


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
