"""``autovul membership``: tell the images that a classifier was trained on from others."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import attack_command


@command("membership")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the attack that ``--attack`` names, and write the result."""
    return attack_command.run("membership", argv)


if __name__ == "__main__":
    raise SystemExit(main())
