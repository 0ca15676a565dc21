"""The errors that a command shows as one line instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something outside the program is wrong: a missing file, a damaged checkpoint, a full disk. Exit status 1."""


class UsageError(UserError):
    """What was asked for cannot be meant: an unknown name, a value out of range. Exit status 2."""


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """The choices that resemble ``name``, as a clause that continues a message, or an empty string."""
    folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.5)
    return f" (nearest: {', '.join(folded[key] for key in found)})" if found else ""


class Interrupted(UserError):
    """A signal stopped the run; everything worth keeping is saved.

    Args:
        message: What was stopped where, and how it goes on.
        status: The exit status: 128 + the signal's number (130 for SIGINT, 143 for SIGTERM).
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
