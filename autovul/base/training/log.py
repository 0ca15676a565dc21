"""The course of a run as JSON lines, and as curves for TensorBoard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from autovul.base.atomic import whole_file
from autovul.base.errors import UserError


class TrainingLog:
    """Appends one JSON object a line; each has ``event``, ``epoch`` (epochs done) and ``step`` (steps done after it).

    Args:
        path: The file; none: no lines are written.
        tensorboard: Folder for TensorBoard; none: no curves are written.
    """

    def __init__(self, path: str | Path | None, tensorboard: str | Path | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._tensorboard = tensorboard
        self._writer: Any = None

    def begin(self, epoch: int, step: int) -> None:
        """Keep what was written up to a position, from which the run goes on; what came after will come again.

        Args:
            epoch: Epochs done.
            step: Steps done in the next.

        Raises:
            UserError: The file cannot be written, or TensorBoard is asked for and not installed.
        """
        resumed = (epoch, step) > (0, 0)
        if self._path is not None:
            kept = [line for line in _lines(self._path) if resumed and _position(line) <= (epoch, step)]
            with whole_file(self._path) as file:
                file.writelines(line + b"\n" for line in kept)
        if self._tensorboard is not None:
            self._writer = _summary_writer(self._tensorboard, purge_step=epoch + 1 if resumed else 0)

    def write(self, event: str, epoch: int, step: int = 0, **figures: Any) -> None:
        """Append one line; a figure that is not finite becomes null."""
        if self._writer is not None and event in {"epoch", "validation"}:
            for name, value in figures.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{event}/{name}", value, epoch)
        if self._path is None:
            return
        line = json.dumps(
            _finite({"event": event, "epoch": epoch, "step": step, **figures}), allow_nan=False, default=str
        )
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Finish the curves."""
        if self._writer is not None:
            self._writer.close()


def _summary_writer(folder: str | Path, purge_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'autovul[tensorboard]'") from None
    return SummaryWriter(str(folder), purge_step=purge_step)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.is_file() else []


def _position(line: bytes) -> tuple[float, float]:
    try:
        record = json.loads(line)
        return float(record["epoch"]), float(record["step"])
    except (ValueError, KeyError, TypeError):  # the line that a killed run was writing
        return math.inf, math.inf


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
