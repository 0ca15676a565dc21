"""The whole of ``autovul reproduce``: plan, run what is missing, say what failed, and make the report."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autovul.base.errors import Interrupted, UserError
from autovul.base.experiments import FILE_ENDINGS, load_experiments, load_scale
from autovul.base.sweep.display import Display, time_left
from autovul.base.sweep.launchers.choice import choose
from autovul.base.sweep.launchers.local import LocalLauncher
from autovul.base.sweep.ledger import Ledger
from autovul.base.sweep.options import MachineOptions, SweepOptions
from autovul.base.sweep.plan import FIRST_SEED, Catalogue, Run, Wish
from autovul.base.sweep.planner import PUBLISHED, Planner
from autovul.base.sweep.sweep import POLL, Sweep
from autovul.base.sweep.task import BUSY, Outcome, Task
from autovul.base.training.options import TrainingOptions

SHOWN = 20  # as many failures are told at the end
REPORT_SECONDS = 600.0  # for the report, and for that of another sweep before it


def reproduce(
    options: SweepOptions,
    machines: MachineOptions,
    passed: Mapping[str, Any],
    config_file: Path | None,
    catalogue: Catalogue,
) -> int:
    """Run what is missing of the experiments that were asked for.

    Args:
        options: The sweep's own options.
        machines: Where runs go.
        passed: Options for the commands that have them.
        config_file: A configuration file for every command.
        catalogue: Knows networks and commands.

    Returns:
        The exit status: 1 if a run failed or was left out because another had, or the time limit came first.
    """
    runs, names = _plan(options, passed, config_file, catalogue)
    ledger = Ledger(Path(runs[0].settings.environment.result_dir), catalogue)
    launcher, gpus = choose(machines, runs[0].settings.environment.device, ledger.result_dir.absolute() / ".sweep")
    display = Display(ledger.seconds)
    sweep = Sweep(
        runs,
        ledger,
        launcher,
        display,
        log_dir=_log_dir(runs),
        threads=machines.threads,
        gpus=gpus,
        retries=options.retries,
        deadline=time.monotonic() + 60 * options.time_limit if options.time_limit else None,
    )
    sweep.look()
    print(
        _summary(sweep, options, names, time_left(_missing(sweep), ledger.seconds, {}, launcher.capacity)), flush=True
    )
    if options.dry_run:
        for run in _missing(sweep):
            print(f"autovul {shlex.join(run.argv)}")
        return 0
    try:
        with _asked_to_end_as_interrupted():
            sweep.go()
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        raise Interrupted(f"{_counts(sweep)}; the same command goes on from here", 128 + number) from None
    finally:
        display.close()
    if not options.no_report:
        _report(ledger.result_dir, sweep.log_dir, options, config_file)
    return _conclude(sweep)


def _log_dir(runs: Sequence[Run]) -> Path:
    """The folder of what runs print: in that of the training logs, or where these are by default if nothing trains."""
    logs = (run.settings.training.log_dir for run in runs if "training" in run.settings.groups)
    return Path(next(logs, TrainingOptions().log_dir), "sweep")


def _plan(
    options: SweepOptions, passed: Mapping[str, Any], config_file: Path | None, catalogue: Catalogue
) -> tuple[list[Run], list[str]]:
    experiments = load_experiments(options.experiments)
    own = [Path(each).stem if each.endswith(FILE_ENDINGS) else each for each in options.experiments]
    wish = Wish(
        experiments=tuple(own),
        scale=load_scale(options.scale),
        seeds=options.seeds,
        networks=options.models,
        options=passed,
        published=options.published_weights,
        given=options.given_weights,
        config_file=config_file,
    )
    runs = Planner(experiments, catalogue).plan(wish)
    if not options.dry_run:
        _require_given(runs)
    return runs, list(dict.fromkeys(name for run in runs for name in run.experiments))


def _require_given(runs: Sequence[Run]) -> None:
    """Make sure that the weights which are not trained are there."""
    given = (run.subject.weights for run in runs if run.argv[0] == PUBLISHED)
    if absent := [str(path) for path in dict.fromkeys(given) if path is not None and not path.is_file()]:
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        raise UserError(
            f"no weights at {', '.join(absent[:SHOWN])}{more}: put them there, or name with --models the networks that "
            "have some"
        )


def _left_aside(sweep: Sweep) -> Iterator[str]:
    """Weights of the user's own networks under their plain names, where the scale trains its own."""
    trained = {run.subject.weights: run.subject for run in sweep.runs if run.subject.trains}
    plain = {}
    for path, subject in trained.items():
        if path is not None and subject.group == "yours" and subject.seed == FIRST_SEED:
            plain[path.with_name(f"{subject.model}{path.suffix}")] = path, subject
    for given, (path, subject) in plain.items():
        if given != path and given.is_file():
            name = subject.options.get("genotype") or subject.options.get("model")
            yield f"left aside: {given}; to measure it, copy it to {path.name} beside it and add --given_weights={name}"


@contextmanager
def _asked_to_end_as_interrupted() -> Iterator[None]:
    """SIGTERM as Ctrl-C inside, so that runs save what they have; signals reach the main thread alone."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)  # None: not set from Python


def _missing(sweep: Sweep) -> list[Run]:
    return [each.run for each in sweep.in_state("waiting", "running", "elsewhere")]


def _summary(sweep: Sweep, options: SweepOptions, names: Sequence[str], left: str) -> str:
    scale, dataset = load_scale(options.scale), sweep.runs[0].subject.dataset
    about = scale.about if dataset == scale.dataset else f"its networks and schedules, on {dataset}"
    networks = {run.subject.model for run in sweep.runs}
    seeds = sorted({run.subject.seed for run in sweep.runs})
    missing = len(_missing(sweep))
    return "\n".join(
        [
            f"scale {scale.name}: {about}",
            f"{len(names)} experiments: {', '.join(names)}",
            f"{len(networks)} networks, seeds {', '.join(map(str, seeds))}",
            f"{len(sweep.runs)} runs: {len(sweep.runs) - missing} have a result, {missing} to do; {left}, "
            f"{sweep.launcher.capacity} at once on {sweep.launcher.place}",
            *_left_aside(sweep),
        ]
    )


def _counts(sweep: Sweep) -> str:
    counts = [
        f"{len(found)} {state}" for state in ("ok", "diverged", "failed", "skipped") if (found := sweep.in_state(state))
    ]
    left = len(_missing(sweep))
    return ", ".join([*counts, *([f"{left} to do"] if left else [])])


def _conclude(sweep: Sweep) -> int:
    print(_counts(sweep))
    for each in sweep.in_state("diverged"):
        print(f"  diverged: {each.run.name}: {each.message or 'as recorded'}")
    for state in ("failed", "skipped"):
        found = sweep.in_state(state)
        for each in found[:SHOWN]:
            print(f"  {state}: {each.run.name}: {each.message}")
        if len(found) > SHOWN:
            print(f"  and {len(found) - SHOWN} more {state}")
    if sweep.in_state("failed"):
        print(f"logs: {sweep.log_dir}")
    if _missing(sweep):
        print("the time limit came first; the same command goes on from here")
    return 1 if sweep.in_state("failed", "skipped") or _missing(sweep) else 0


def _report(result_dir: Path, log_dir: Path, options: SweepOptions, config_file: Path | None) -> None:
    """Make the report in a process of its own, as a command like the others; after that of another sweep, if need be.

    The other's may have come too early for what this sweep has found, or may go into another folder.
    """
    argv: tuple[str, ...] = ("report", str(result_dir), f"--output_dir={options.report_dir}")
    if own := [name for name in options.experiments if name.endswith(FILE_ENDINGS)]:
        argv += (f"--experiments={','.join(own)}",)
    if config_file is not None:
        argv += (f"--config={config_file}",)
    folder = result_dir.absolute() / ".sweep"
    task = Task("report", "report", argv, Path.cwd(), log_dir / "report.log", folder / "report.lock")
    launcher, end = LocalLauncher([None]), time.monotonic() + REPORT_SECONDS
    outcomes: list[Outcome] = []
    try:
        while not outcomes and time.monotonic() < end:
            launcher.start([task])
            outcomes = [each for each in launcher.poll(end - time.monotonic()) if each.status != BUSY]
            if not outcomes:
                time.sleep(POLL)
    finally:
        launcher.stop()
    if outcomes and outcomes[0].status == 0:
        print(f"report: {Path(options.report_dir) / 'report.html'}")
    else:
        reason = outcomes[0].message if outcomes else "it took too long"
        print(f"autovul reproduce: no report: {reason}", file=sys.stderr)
