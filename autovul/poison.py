"""``autovul poison``: train on poisoned data and see what it does to a classifier."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import attack_command


@command("poison")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the attack that ``--attack`` names, and write the result."""
    return attack_command.run("poison", argv)


if __name__ == "__main__":
    raise SystemExit(main())
