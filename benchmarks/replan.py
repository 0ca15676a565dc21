"""How long a finished sweep takes to see that there is nothing to do.

    python benchmarks/replan.py --seeds 5

Plans the paper's scale with all networks, leaves a record (with a series of 50 rows) for every run, and times what
`autovul reproduce` then does before it says that nothing is missing: planning, reading all records, comparing. Times
are processor seconds of one process, without imports; data and weights are stand-ins whose digests are already known.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from autovul.base.experiments import load_experiments, load_scale
from autovul.base.result import Metric
from autovul.base.sweep.ledger import Ledger
from autovul.base.sweep.plan import Run, Wish
from autovul.base.sweep.planner import Planner
from autovul.vision.planning import Planning


class StandIns(Planning):
    """Knows all networks and commands; data and weights are small files."""

    def data_sha256(self, data: object) -> str:
        return "d" * 64

    def weights_sha256(self, path: Path) -> str:
        return "e" * 64


def leave_record(run: Run, folder: Path) -> None:
    """What the run would leave."""
    if run.subject.weights is not None:
        run.subject.weights.parent.mkdir(parents=True, exist_ok=True)
        run.subject.weights.touch()
    record = run.subject.failed("").replace(
        status="ok",
        metrics={f"metric_{number}": Metric(float(number), "%", 1000) for number in range(10)},
        series=tuple({"epoch": number, "train_loss": 0.1, "valid_accuracy": 50.0} for number in range(50)),
        data_sha256="d" * 64,
        weights_sha256="e" * 64,
    )
    record.write(folder)


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalogue = StandIns()
        wish = Wish((), load_scale("paper"), arguments.seeds, options={"model_dir": str(folder / "model")})
        for run in Planner(load_experiments(), catalogue).plan(wish):
            leave_record(run, folder / "result")
        for turn in ("first", "again"):
            times = [time.process_time()]
            runs = Planner(load_experiments(), catalogue).plan(wish)
            times.append(time.process_time())
            ledger = Ledger(folder / "result", catalogue)
            ledger.refresh(run.subject.experiment for run in runs)
            times.append(time.process_time())
            done = sum(ledger.status(run) == "ok" for run in runs)
            times.append(time.process_time())
            plan, read, compare = (after - before for before, after in zip(times, times[1:], strict=False))
            print(
                f"{turn}: {done} of {len(runs)} runs done; plan {plan:.2f} s, read {read:.2f} s, "
                f"compare {compare:.2f} s, together {times[-1] - times[0]:.2f} s"
            )


if __name__ == "__main__":
    main()
