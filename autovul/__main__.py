"""``autovul <command>`` and ``python -m autovul <command>``: find the command's module and run it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from autovul import __version__
from autovul.base.errors import nearest

COMMANDS = {
    "train": "Train an image classifier.",
    "validate": "Measure a classifier's accuracy.",
    "adv_attack": "Look for adversarial examples (evasion).",
    "backdoor": "Plant a backdoor.",
    "poison": "Poison training data.",
    "extraction": "Steal a classifier by asking it (model extraction).",
    "membership": "Tell training images from others (membership inference).",
    "grad_var": "Measure how gradients vary from image to image.",
    "loss_contour": "Draw the loss around weights or images.",
    "show_genotype": "Draw the cells of a genotype.",
    "reproduce": "Run every experiment of the paper that has no result yet.",
    "report": "Turn result records into tables, figures and a page.",
}


def overview() -> str:
    """The answer to ``autovul --help``."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: autovul COMMAND [options]",
            "",
            "Measures how vulnerable the architecture of an image classifier makes it.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()),
            "",
            "autovul COMMAND -h    explains a command's options",
            "autovul --version     tells the version",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The command's name and its arguments; None for the process's own.

    Returns:
        The exit status: the command's own, 2 for an unknown command.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"autovul {__version__}")
        return 0
    module = name.replace("-", "_")
    if module not in COMMANDS:
        problem = f"unknown command {name!r}{nearest(name, COMMANDS, count=1)}" if name else "a command is missing"
        print(f"autovul: {problem}; autovul --help lists them", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"autovul.{module}").main(arguments) or 0
    except KeyboardInterrupt:  # while the command's module is still being imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
