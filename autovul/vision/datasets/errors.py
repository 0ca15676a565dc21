"""What can be wrong with data that lie outside the program."""

from __future__ import annotations

from autovul.base.errors import UserError


class MissingData(UserError, FileNotFoundError):
    """A data set's files are not where they are looked for."""


class TooFewImages(UserError, ValueError):
    """There are fewer images than were asked for, or none."""


class DamagedData(UserError, ValueError):
    """A data set's files are there and cannot be used: broken, altered, or of another shape or type."""
