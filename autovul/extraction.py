"""``autovul extraction``: steal a trained classifier by training a copy on its answers."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import attack_command


@command("extraction")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the attack that ``--attack`` names, and write the result."""
    return attack_command.run("extraction", argv)


if __name__ == "__main__":
    raise SystemExit(main())
