"""Tasks on a Ray cluster: one a run, wherever there is room for its threads and its share of a GPU."""

from __future__ import annotations

import logging
import math
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from autovul.base.errors import UsageError, UserError
from autovul.base.sweep.launchers import elsewhere
from autovul.base.sweep.task import GRACE, LOST, Outcome, Task
from autovul.base.sweep.worker import DEFECT

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 10.0  # between two looks at what the cluster holds


class RayLauncher:
    """Runs tasks on the nodes of a Ray cluster that is there already.

    A node that dies takes its tasks with it, and each is `LOST`; the sweep starts them again on what is left. Nodes may
    join at any time.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``.
        threads: CPUs of a task.
        gpus: GPUs of a task, or its share of one; None: one where the cluster has any.
        jobs: As many tasks at once at most; None: as many as fit.

    Raises:
        UserError: Ray is not installed, no cluster answers, or no node of it is large enough.
    """

    plans_ahead = False

    def __init__(self, address: str, *, threads: int = 1, gpus: float | None = None, jobs: int | None = None) -> None:
        self._ray = _connect(address)
        nodes = self._nodes()
        self.gpus = float(any(node.get("GPU") for node in nodes)) if gpus is None else gpus
        self._needs = {"CPU": float(threads), "GPU": self.gpus}
        self._jobs, self._looked, self._fits = jobs, -math.inf, 0
        self._tasks: dict[Any, str] = {}  # keys by Ray's reference
        self._started: dict[str, float] = {}
        self.place = f"a Ray cluster of {len(nodes)} node{'s' * (len(nodes) != 1)}"
        if not self.capacity:
            self.stop()
            wanted = f"{threads} CPU{'s' * (threads > 1)}" + (f" and {self.gpus:g} GPU" if self.gpus else "")
            raise UserError(f"the Ray cluster at {address} has no node with {wanted} for a run")

    @property
    def capacity(self) -> int:
        """How many tasks the cluster holds; looked at anew from time to time, as nodes come and go."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._fits = sum(places(node, self._needs) for node in self._nodes())
            self._looked = time.monotonic()
        return min(self._fits, self._jobs or self._fits)

    def start(self, tasks: Sequence[Task]) -> None:
        """Submit tasks."""
        remote = self._ray.remote(elsewhere.run)
        for task in tasks:
            # Trying again is up to the sweep, which knows what has been found meanwhile.
            options = {"num_cpus": self._needs["CPU"], "num_gpus": self.gpus, "max_retries": 0, "name": task.name}
            self._tasks[remote.options(**options).remote(task)] = task.key
            self._started[task.key] = time.monotonic()

    def poll(self, timeout: float) -> list[Outcome]:
        """The tasks that ended."""
        if not self._tasks:
            time.sleep(timeout)
            return []
        self._ray.wait([*self._tasks], num_returns=1, timeout=timeout)
        ended, _ = self._ray.wait([*self._tasks], num_returns=len(self._tasks), timeout=0)
        return [self._end(each) for each in ended]

    def running(self) -> Mapping[str, float]:
        """Seconds since they were submitted by key."""
        now = time.monotonic()
        return {key: now - start for key, start in self._started.items()}

    def stop(self) -> None:
        """Cancel the tasks, give them time to save, and leave the cluster."""
        if not self._ray.is_initialized():
            return
        left = [*self._tasks]
        for each in left:
            self._ray.cancel(each)
        if left:
            _, left = self._ray.wait(left, num_returns=len(left), timeout=GRACE)
        for each in left:
            self._ray.cancel(each, force=True)
        self._tasks.clear()
        self._started.clear()
        self._ray.shutdown()

    def _nodes(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _end(self, reference: Any) -> Outcome:
        key = self._tasks.pop(reference)
        seconds = time.monotonic() - self._started.pop(key)
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # what the function itself raised, such as on importing it
            return Outcome(key, DEFECT, _line(str(error).strip().rpartition("\n")[2]), seconds)
        except self._ray.exceptions.RayError as error:
            self._looked = -math.inf
            return Outcome(key, LOST, f"lost: {_line(str(error))}", seconds)


def places(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many tasks of the same needs a node has room for."""
    return min(math.floor(node.get(name, 0) / need + 1e-6) for name, need in needs.items() if need)


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--launcher ray needs the package ray: pip install ray") from None
    _knock(address)
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": elsewhere.python_path()}},
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"no Ray cluster at {address}: {_line(str(error))}") from None
    return ray


def _knock(address: str) -> None:
    """Find out in seconds that nobody is there; Ray itself tries for minutes."""
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address)
    if not found or int(found[2]) > 65535:
        raise UsageError(f"--address: HOST:PORT, ray://HOST:PORT or auto, not {address!r}")
    try:
        socket.create_connection((found[1], int(found[2])), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(f"no Ray cluster answers at {address}: {error.strerror or error}") from None


def _line(text: str) -> str:
    """The first sentence of one of Ray's messages, which explain at length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return line.partition(". ")[0].rstrip(".")
