"""What a sweep can be told."""

from __future__ import annotations

from typing import Literal

from autovul.base.options import Options, option


class SweepOptions(Options):
    """Which experiments run, and at which scale."""

    experiments: tuple[str, ...] = option(
        (),
        "Figures and tables by name (fig2, table1, …), and experiment files of your own; none: all of the paper and "
        "distance. Cells drawn at random only when named: sampled, sampled_attack, sampled_distance, sampled_variance.",
        positional=True,
    )
    scale: str = option(
        "paper",
        "paper, fast, lease, small, smoke, or a file: on which data, with which networks, how long.",
        min_length=1,
    )
    seeds: int | None = option(None, "Repetitions, with seeds from 1228 on; none: as many as the scale says.", ge=1)
    models: tuple[str, ...] = option(
        (),
        "Only these networks and groups; networks of your own (package.module:build, or a "
        "file of cells) join the comparison.",
    )
    published_weights: bool = option(
        False, "Train nothing: measure the weights that lie in the model folder, the same for every seed."
    )
    given_weights: tuple[str, ...] = option(
        (),
        "Networks and groups (yours) that are not trained, beside others that are: measured are the weights in the "
        "model folder under the network's name and the scale's suffix, the same for every seed.",
    )
    dry_run: bool = option(
        False, "Show the plan, its time once runs like it have ended, and the exact commands; run nothing."
    )
    retries: int = option(1, "How often a run that failed is tried again.", ge=0)
    time_limit: float | None = option(
        None, "Stop after so long; the same command goes on from there.", gt=0, unit="minutes"
    )
    no_report: bool = option(False, "Leave the report as it is; else it is made anew at the end.")
    report_dir: str = option("./data/report", "Folder of the report.", min_length=1)


class MachineOptions(Options):
    """Where runs go, and what each gets there."""

    launcher: Literal["local", "ray", "slurm"] = option(
        "local", "Where runs go: this machine, a Ray cluster, or the queue of Slurm."
    )
    jobs: int | None = option(
        None,
        "Runs at once. On this machine: on each GPU (none: 1), or where there is none altogether (none: one a core). "
        "On Ray: altogether; on Slurm: of one array (none: as many as fit).",
        ge=1,
    )
    threads: int = option(1, "Threads of each run on a CPU; results differ by rounding with another number.", ge=1)
    gpus: float | None = option(
        None, "GPUs of each run on a cluster, for Ray also a share such as 0.25; none: 1 where it has any.", ge=0
    )
    address: str = option(
        "auto", "Ray's cluster: HOST:PORT, ray://HOST:PORT, or auto: the one that runs on this machine.", min_length=1
    )
    slurm_partition: str | None = option(None, "Slurm's partition; none: its default.", min_length=1)
    slurm_time: float = option(
        720.0, "Time limit of a Slurm job; training that reaches it goes on in a new one.", gt=0, unit="minutes"
    )
    slurm_memory: float | None = option(None, "Memory of a Slurm job; none: the partition's default.", gt=0, unit="GB")
    slurm_options: tuple[str, ...] = option(
        (), "Further options of sbatch, without the dashes before them: account=mine,exclude=node7."
    )
    slurm_keep: bool = option(
        False, "Leave jobs in Slurm's queue when the sweep is stopped; the same command later follows them."
    )
