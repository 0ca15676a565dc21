"""``autovul show_genotype``: the cells of a genotype as a picture and in words."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.cli import command
from autovul.vision import commands


@command("show_genotype")
def main(argv: Sequence[str] | None = None) -> int:
    """Draw each genotype and print what it is made of."""
    options = commands.read("show_genotype", argv).cells
    print("\n\n".join(options.show(source) for source in options.genotypes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
