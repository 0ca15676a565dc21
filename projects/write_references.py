"""Writes what derives from the options' declarations: docs/options.md and configs_example/.

python projects/write_references.py            # a test says when this is due
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from autovul.base import cli
from autovul.base.settings.command import Declared
from autovul.base.settings.option_types import show
from autovul.vision.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
BASE_GROUPS = ("environment", "training", "report", "sweep")

OPTIONS_HEAD = """# Every option

Generated from the declarations; do not edit. `autovul COMMAND -h` says the same.

"""
EXAMPLE_HEAD = """# Every option that can stand in a configuration file, with its default. Made from the declarations.
# Copy to ~/autovul/configs/{kind}/ (for you) or ./configs/{kind}/ (for the current folder), take away the "# " before
# what you want to change, and give one value per data set where it differs: {{default: 250, digits: 30}}.
"""


def files() -> dict[Path, str]:
    """Path and content of every derived file."""
    made = {ROOT / "docs" / "options.md": OPTIONS_HEAD + cli.reference(COMMANDS).rstrip() + "\n"}
    for name, declared in _groups().items():
        made[_example_path(name)] = _example_head(name) + _entries(declared)
    for name, declared in _algorithms().items():
        made[_example_path(name)] = _example_head(name) + f"\n{name}:\n" + textwrap.indent(_entries(declared), "  ")
    return made


def _groups() -> dict[str, list[Declared]]:
    """The options of each group. One that several groups have stands with the first: its value holds for all."""
    groups: dict[str, list[Declared]] = {}
    seen = set()
    for command in COMMANDS:
        for each in command.common():
            if each.group and not each.positional and each.name not in seen:
                seen.add(each.name)
                groups.setdefault(each.group, []).append(each)
    return groups


def _algorithms() -> dict[str, list[Declared]]:
    return {name: command.own(name) for command in COMMANDS for name in command.algorithms()}


def _example_path(name: str) -> Path:
    return ROOT / "configs_example" / _kind(name) / f"{name}.yaml"


def _kind(name: str) -> str:
    return "base" if name in BASE_GROUPS else "vision"


def _example_head(name: str) -> str:
    return EXAMPLE_HEAD.format(kind=_kind(name))


def _entries(declared: Iterable[Declared]) -> str:
    lines = []
    for each in declared:
        allowed = each.allowed + (f"; unit: {each.unit}" if each.unit else "")
        lines += ["", *textwrap.wrap(f"{each.help} ({allowed})", 112, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"# {each.name}: {_yaml(each)}")
    return "\n".join(lines) + "\n"


def _yaml(each: Declared) -> str:
    value = each.default
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f'"{value}"' if isinstance(value, str) and not value.replace("_", "").isalpha() else show(value)


def main() -> None:
    """Write the files; those of options that are no more are removed."""
    made = files()
    for old in (ROOT / "configs_example").rglob("*.yaml"):
        if old not in made:
            old.unlink()
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
