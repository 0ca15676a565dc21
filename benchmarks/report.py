"""The report over many result files: prints how long reading, judging and each of its forms take.

    python benchmarks/report.py --files 1000
    python benchmarks/report.py --files 1000 --profile

The records are made up: every run that the package's definitions ask for, with seeds until there are enough.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autovul.base.report import build
from autovul.base.result import read_results
from tests.base.report.records import campaign, training


def write(folder: Path, files: int) -> int:
    """Write records until there are as many as asked for."""
    seeds, results = 1, campaign(1)
    while len(results) < files:
        seeds += 1
        results = campaign(seeds)
    for index, result in enumerate(results[:files]):
        if result.experiment == "train":  # with its learning curves
            series = training(result.model, result.group, result.seed, 95.0, epochs=200).series
            result = result.replace(series=series)
        path = folder / result.experiment / f"{index}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(result.to_json(), encoding="utf-8")
    return min(files, len(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="how many result files")
    parser.add_argument("--profile", action="store_true", help="print the functions that take longest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{write(folder, arguments.files)} files")
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        begin = last = time.perf_counter()
        results, refused = read_results([folder])
        report = build(results, refused)
        steps = {"html": report.html, "text": report.text, "markdown": report.markdown, "csv": report.csv}
        print(f"{'read and sort':<14} {time.perf_counter() - last:6.2f} s")
        for step, make in {**steps, "claims csv": report.claims_csv}.items():
            last = time.perf_counter()
            size = len(make().encode())
            print(f"{step:<14} {time.perf_counter() - last:6.2f} s  {size / 2**20:6.2f} MiB")
        print(f"{'all':<14} {time.perf_counter() - begin:6.2f} s")
        if arguments.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(30)


if __name__ == "__main__":
    main()
