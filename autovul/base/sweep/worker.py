"""What runs a task, wherever that is: under its lock, with what it prints in its log."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from autovul.base.result import Result, ResultError
from autovul.base.sweep import lock
from autovul.base.sweep.subject import key_of_record
from autovul.base.sweep.task import BUSY, Outcome, Task

CLOCKS = 5.0  # seconds that the clocks of machines and of their shared folder may differ
DEFECT = 70  # "internal software error": an exception that no command should let through


def execute(task: Task) -> Outcome:
    """Run a task's command by its name in this process.

    Returns:
        How it ended; `BUSY` if somebody else runs the same.
    """
    start = time.monotonic()
    os.chdir(task.folder)
    with lock.held(task.lock) as ours:
        if not ours:
            return Outcome(task.key, BUSY, "runs elsewhere")
        if _is_recorded(task):  # whoever had the lock before us
            return Outcome(task.key, 0)
        begin = task.log.stat().st_size if task.log.exists() else 0
        with _printed_to(task.log):
            print(f"> autovul {' '.join(task.argv)}", flush=True)
            status = _run(task)
    return Outcome(task.key, status, "" if status == 0 else last_line(task.log, begin), time.monotonic() - start)


def _is_recorded(task: Task) -> bool:
    """Whether another sweep has left the task's record since ours last looked."""
    for path in task.records.glob("*.json") if task.records else ():
        with contextlib.suppress(OSError, ResultError, UnicodeDecodeError):
            if path.stat().st_mtime >= task.since - CLOCKS:
                record = Result.from_json(path.read_text(encoding="utf-8"))
                if record.status != "failed" and key_of_record(record) == task.key:
                    return True
    return False


def _run(task: Task) -> int:
    import torch

    torch.set_num_threads(task.threads)
    try:
        # By name: nothing imports a command but the dispatcher, and through it the workers.
        return importlib.import_module("autovul.__main__").main(task.argv)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return DEFECT
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()


@contextlib.contextmanager
def _printed_to(path: Path) -> Iterator[None]:
    """Send stdout and stderr to the end of a file, what libraries in C print included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    with open(path, "a", encoding="utf-8", errors="replace", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


def last_line(path: Path, begin: int = 0) -> str:
    """The last line of a log that says something, from a byte on."""
    try:
        with open(path, "rb") as file:
            file.seek(begin)
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        return f"no log ({error.strerror})"
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""
