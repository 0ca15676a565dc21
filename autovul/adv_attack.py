"""``autovul adv_attack``: attack a trained classifier with adversarial examples."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import attack_command


@command("adv_attack")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the attack that ``--attack`` names, and write the result."""
    return attack_command.run("adv_attack", argv)


if __name__ == "__main__":
    raise SystemExit(main())
