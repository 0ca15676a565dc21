"""Tasks on machines that are not this one, and share its folders if all is well."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import autovul
from autovul.base.sweep.task import LOST, Outcome, Task
from autovul.base.sweep.worker import execute


def run(task: Task) -> Outcome:
    """Run a task on the machine where this is called.

    Returns:
        How it ended; `LOST` where the sweep's folder cannot be seen.
    """
    if not task.folder.is_dir():
        reason = f"{socket.gethostname()} has no folder {task.folder}; a sweep needs storage that all machines share"
        return Outcome(task.key, LOST, reason)
    return execute(task)


def python_path() -> str:
    """PYTHONPATH for processes elsewhere: this program comes first, wherever it lies."""
    here = str(Path(autovul.__file__).resolve().parents[1])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
