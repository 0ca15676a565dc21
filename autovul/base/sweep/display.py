"""What a sweep shows: a line for each run that ended, and how far it has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from autovul.base.progress import clock
from autovul.base.sweep.plan import Run
from autovul.base.sweep.sweep import Progress, Sweep
from autovul.base.sweep.task import Outcome

LINE_SECONDS = 60.0  # between two lines on the state of things where there is no terminal
WIDTH = 110


class Display:
    """Shows the course of a sweep.

    Args:
        expected: Seconds that a run may take; None where nobody knows.
        stream: Where it is shown; standard error unless given.
    """

    def __init__(self, expected: Callable[[Run], float | None], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._expected = expected
        self._shown = time.monotonic()

    def changed(self, progress: Progress, outcome: Outcome | None) -> None:
        """Say how a run ended."""
        took = f" ({clock(outcome.seconds)})" if outcome else ""
        state = "failed, will be tried again" if progress.state == "waiting" else progress.state
        reason = f": {progress.message}" if progress.message else ""
        self.say(f"{progress.run.name}: {state}{took}{reason}")

    def waiting(self, sweep: Sweep) -> None:
        """Say how things stand, on a terminal always anew in the last line."""
        line = status_line(sweep, self._expected)
        if self._live:
            self._stream.write(f"\r\033[K{line[:WIDTH]}")
            self._stream.flush()
        elif time.monotonic() - self._shown > LINE_SECONDS:
            self.say(line)

    def say(self, line: str) -> None:
        """Show a line."""
        self._shown = time.monotonic()
        print(f"\r\033[K{line}" if self._live else line, file=self._stream, flush=True)

    def close(self) -> None:
        """Clear the line on the state of things."""
        if self._live:
            self._stream.write("\r\033[K")
            self._stream.flush()


def status_line(sweep: Sweep, expected: Callable[[Run], float | None]) -> str:
    """Runs done, running, here and elsewhere, failed, and the time left."""
    done = len(sweep.in_state("ok", "diverged"))
    failed = len(sweep.in_state("failed", "skipped"))
    seconds = sweep.launcher.running()  # what a launcher holds may still wait for its turn
    running = [each for each in sweep.in_state("running") if each.run.key in seconds]
    elsewhere = len(sweep.in_state("elsewhere"))
    counted = [f"{elsewhere} elsewhere"] if elsewhere else []
    names = ", ".join(counted + [f"{each.run.name} {clock(seconds.get(each.run.key, 0))}" for each in running[:2]])
    more = f" and {len(running) - 2} more" if len(running) > 2 else ""
    runs = [each.run for each in sweep.in_state("waiting", "running", "elsewhere")]
    left = time_left(runs, expected, seconds, sweep.launcher.capacity)
    return f"{done}/{len(sweep.runs)} done, {failed} failed, {left}; running: {names or 'nothing'}{more}"


def time_left(
    runs: Iterable[Run], expected: Callable[[Run], float | None], elapsed: Mapping[str, float], places: int
) -> str:
    """How long runs will take, by what was seen of runs like them.

    Args:
        runs: Those that have not ended.
        expected: Seconds that a run takes; None where nobody knows.
        elapsed: Seconds so far of those that run, by key.
        places: How many run at once.
    """
    wholes = [(expected(run), elapsed.get(run.key, 0.0)) for run in runs]
    found = [None if whole is None else max(0.0, whole - passed) for whole, passed in wholes]
    known = [seconds for seconds in found if seconds is not None]
    if not known:
        return "time unknown until a run of each kind has ended" if found else "nothing left"
    at_least = "at least " if len(known) < len(found) else "about "
    return f"{at_least}{clock(max(sum(known) / max(1, places), *known))} left"
