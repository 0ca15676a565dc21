"""Tasks as processes of this machine, started fast: a server process has loaded torch already and only forks."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from autovul.base.sweep.task import GRACE, LOST, Outcome, Slots, Task
from autovul.base.sweep.worker import execute

# What most runs import, some seconds' worth, loaded once; a name that is not installed is passed over.
PRELOAD = [
    *("autovul.__main__", "autovul.vision.commands", "autovul.vision.models"),
    *("torch", "torch._dynamo", "torchvision", "sklearn.datasets", "matplotlib.figure"),
]
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()


class LocalLauncher:
    """Runs tasks in processes, each on a place of its own.

    With a fork server a task gets a fresh process of a server that holds torch. Where there is none (Windows), as many
    processes as there are places are kept and run one task after the other.

    Args:
        places: For each place the number of its GPU, or None for the CPU.
    """

    plans_ahead = False

    def __init__(self, places: Sequence[int | None]) -> None:
        self.capacity = len(places)
        gpus = sorted({place for place in places if place is not None})
        self.place = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else "this machine's CPU"
        self._places, self._slots = places, Slots(len(places))
        self._workers: dict[int, _Worker] = {}
        self._started: dict[str, float] = {}

    def start(self, tasks: Sequence[Task]) -> None:
        """Run tasks, for each of which there is a place."""
        for task in tasks:
            slot = self._slots.take(task.key)
            worker = self._workers.get(slot)
            if worker is None or not worker.process.is_alive():
                worker = self._workers[slot] = _Worker(self._places[slot])
            worker.connection.send(task)
            self._started[task.key] = time.monotonic()

    def poll(self, timeout: float) -> list[Outcome]:
        """The tasks that ended."""
        if not self._started:
            time.sleep(timeout)
            return []
        busy = {self._workers[slot].connection: key for key, slot in self._slots.taken.items()}
        return [self._end(busy[connection]) for connection in wait([*busy], timeout)]  # type: ignore[index]

    def running(self) -> Mapping[str, float]:
        """Seconds so far by key."""
        now = time.monotonic()
        return {key: now - start for key, start in self._started.items()}

    def stop(self) -> None:
        """Ask the processes to stop, and kill those that do not."""
        for worker in self._workers.values():
            worker.connection.close()
            if worker.process.is_alive():
                worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self._workers.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()
        self._started.clear()

    def _end(self, key: str) -> Outcome:
        slot = self._slots.taken[key]
        worker, seconds = self._workers[slot], time.monotonic() - self._started.pop(key)
        self._slots.free(key)
        try:
            outcome = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            outcome = Outcome(key, LOST, _death(worker.process.exitcode), seconds)
        if _FORKS or outcome.status == LOST:
            worker.connection.close()
            worker.process.join()
            del self._workers[slot]
        return outcome


class _Worker:
    """A process that runs tasks, and our end of the line to it."""

    def __init__(self, gpu: int | None) -> None:
        context: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
        if _FORKS:
            context.set_forkserver_preload(PRELOAD)
        ours, theirs = context.Pipe()
        self.connection: Connection = ours
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, gpu, not _FORKS), daemon=False)
        with _script_hidden():
            self.process.start()
        theirs.close()


@contextlib.contextmanager
def _script_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the main script again in the new process, which needs nothing of it."""
    names: dict[str, Any] = vars(sys.modules["__main__"])
    kept: dict[str, Any] = {name: names.pop(name) for name in ("__file__", "__spec__") if name in names}
    names["__spec__"] = None
    try:
        yield
    finally:
        names.update(kept)


def _serve(connection: Connection, gpu: int | None, kept: bool) -> None:
    """The process's main function: run one task, or one after the other until the line is cut."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    threading.Thread(target=_follow_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        outcome = execute(task)
        with contextlib.suppress(OSError):
            connection.send(outcome)
        if not kept:
            return


def _visible(gpu: int) -> str:
    """The name of the n-th GPU of those that this machine lets us see."""
    listed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    return listed[gpu] if gpu < len(listed) else str(gpu)


def _follow_parent() -> None:
    """End when the sweep's own process is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _death(status: int | None) -> str:
    if status is not None and status < 0:
        names = {each.value: each.name for each in signal.Signals}
        hint = " (out of memory?)" if -status == getattr(signal, "SIGKILL", None) else ""
        return f"the process was ended by {names.get(-status, f'signal {-status}')}{hint}"
    return f"the process ended with status {status} and gave no answer"
