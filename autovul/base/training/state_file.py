"""The file from which a run goes on after it was stopped or killed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autovul.base.checkpoint import load_checkpoint, save_checkpoint
from autovul.base.errors import UserError
from autovul.base.training.state import TrainingState

LONGEST_GAP = 600.0  # seconds of training that a killed run may lose at most
LARGEST_SHARE = 0.05  # of the time may go into saving at the ends of epochs


class StateFile:
    """The file of a run's training state.

    At the end of an epoch the state is saved, unless that would take more than 5 % of the time; within an epoch once
    600 seconds have passed since the last.

    Args:
        path: The file; none: nothing is kept.
        settings: What the weights depend on, by name; a state with other settings is not continued.
    """

    def __init__(self, path: str | Path | None, settings: Mapping[str, Any]) -> None:
        self.path = Path(path) if path is not None else None
        self.settings = json.loads(json.dumps(dict(settings), default=str))  # nothing that could not be read back
        self._saved_at, self._cost = time.monotonic(), 0.0

    def exists(self) -> bool:
        """Whether there is a state to continue."""
        return self.path is not None and self.path.exists()

    def save(self, state: TrainingState) -> None:
        """Write the state, in one step."""
        if self.path is None:
            return
        start = time.monotonic()
        save_checkpoint(self.path, {"settings": self.settings, "state": state.to_plain()})
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - start

    def is_due(self, *, epoch_ended: bool) -> bool:
        """Whether it is time to save."""
        if self.path is None:
            return False
        elapsed = time.monotonic() - self._saved_at
        return elapsed > LONGEST_GAP or (epoch_ended and elapsed * LARGEST_SHARE >= self._cost)

    def load(self, state: TrainingState, *, accept_changes: bool) -> list[str]:
        """Continue from the file. Returns the settings that changed, as ``name: old -> new``.

        Raises:
            UserError: The file is damaged, was made with other settings and ``accept_changes`` is off, or does not
                fit the model.
        """
        assert self.path is not None
        content = load_checkpoint(self.path)
        changed = differences(content.get("settings", {}), self.settings)
        if changed and not accept_changes:
            raise UserError(
                f"cannot resume {self.path}: the options changed ({', '.join(changed)}); "
                "give the former ones, or --resume_changed to go on with these"
            )
        try:
            state.from_plain(content["state"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.path} does not fit this model: {reason[:300]}") from error
        return changed


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The entries that differ, as ``name: old -> new``, in the order of their names."""
    names = sorted(name for name in {*old, *new} if name not in old or name not in new or old[name] != new[name])
    return [f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}" for name in names]
