"""``autovul reproduce``: run every experiment of the paper that has no result yet, and report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from autovul.base.cli import command
from autovul.base.sweep.passing import split
from autovul.base.sweep.reproduce import reproduce
from autovul.vision import commands
from autovul.vision.planning import Planning


@command("reproduce")
def main(argv: Sequence[str] | None = None) -> int:
    """Plan, run what is missing, say what failed, and make the report."""
    arguments = sys.argv[1:] if argv is None else argv
    own, passed = split(arguments, commands.flags_of("reproduce"), commands.known_options())
    settings = commands.read("reproduce", own)
    return reproduce(settings.sweep, settings.machines, passed, settings.config_file, Planning())


if __name__ == "__main__":
    raise SystemExit(main())
