"""What a sweep can be told."""

from __future__ import annotations

from typing import Literal

from autovul.base.options import Options, option


class SweepOptions(Options):
    """Which experiments run, at which scale, and where."""

    experiments: tuple[str, ...] = option(
        (),
        "Figures and tables by name (fig2, table1, …), and experiment files of your own; none: all.",
        positional=True,
    )
    scale: str = option(
        "paper", "paper, fast, lease, smoke, or a file: on which data, with which networks, how long.", min_length=1
    )
    seeds: int | None = option(None, "Repetitions, with seeds from 1228 on; none: as many as the scale says.", ge=1)
    models: tuple[str, ...] = option(
        (), "Only these networks and groups; networks of your own (package.module:build) join the comparison."
    )
    published_weights: bool = option(
        False, "Train nothing: measure the weights that lie in the model folder, the same for every seed."
    )
    dry_run: bool = option(False, "Show the plan, its estimated time and the exact commands, and run nothing.")
    jobs: int | None = option(
        None, "Runs at once: on each GPU (none: 1), or where there is none on this machine (none: one a core).", ge=1
    )
    threads: int = option(1, "Threads of each run on a CPU; results differ by rounding with another number.", ge=1)
    retries: int = option(1, "How often a run that failed is tried again.", ge=0)
    time_limit: float | None = option(
        None, "Stop after so long; the same command goes on from there.", gt=0, unit="minutes"
    )
    launcher: Literal["local"] = option("local", "Where runs go: this machine.")
    no_report: bool = option(False, "Leave the report as it is; else it is made anew at the end.")
    report_dir: str = option("./data/report", "Folder of the report.", min_length=1)
