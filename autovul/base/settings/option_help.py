"""What is shown of the options: the help page, the table of effective values and the Markdown reference."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autovul.base import config
from autovul.base.config import Configuration, Layer
from autovul.base.settings.command import Command, Declared, builtin
from autovul.base.settings.known_options import KnownOptions
from autovul.base.settings.option_types import metavar, show

_NARROW, _WIDE = 80, 100
_INDENT = 26
_HEAD = ("| option | default | allowed | meaning |", "| --- | --- | --- | --- |")


def page(command: Command, algorithm: str | None, files: Configuration) -> str:
    """The answer to ``-h``.

    Args:
        command: The command.
        algorithm: The algorithm whose options are shown.
        files: The package's own configuration, for the defaults.
    """
    files = files.with_recipe(command, algorithm)
    width = min(max(shutil.get_terminal_size().columns, _NARROW), _WIDE)
    words = "".join(f" [{each.name} …]" for each in command.declared(algorithm) if each.positional)
    parts = [f"usage: autovul {command.name} [options]{words}", textwrap.fill(command.purpose, width)]
    for title, declared in _groups(command, algorithm).items():
        entries = [_entry(each, command, algorithm, files, width) for each in declared]
        parts.append("\n".join([f"{title}:", *entries]))
    others = ", ".join(name for name in command.algorithms() if name != algorithm)
    if command.algorithm and others:
        note = f"These are the options of {algorithm}. There are also: {others}. For theirs:"
        parts.append(f"{textwrap.fill(note, width)}\n  autovul {command.name} --{command.algorithm.flag} NAME -h")
    general = [_entry(each, command, algorithm, files, width) for each in builtin()]
    parts.append("\n".join(["general:", *general, _wrapped("  -h, --help", "Show this page.", width)]))
    if command.examples:
        parts.append("\n".join(["examples:", *(f"  {example}" for example in command.examples)]))
    return "\n\n".join(part for part in parts if part)


def table(command: Command, algorithm: str | None, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """The answer to ``--print_config``: option, effective value and source, by group."""
    rows = {
        title: [(each.name, show(values[each.name]), sources[each.name]) for each in declared]
        for title, declared in _groups(command, algorithm).items()
    }
    name_width = max(len(row[0]) for group in rows.values() for row in group)
    value_width = max(len(row[1]) for group in rows.values() for row in group)
    lines = []
    for title, group in rows.items():
        lines.append(f"{title}:")
        lines += [f"  {name:<{name_width}}  {value:<{value_width}}  {source}" for name, value, source in group]
    return "\n".join(lines)


def reference(commands: Iterable[Command], layers: Sequence[Layer] | None = None) -> str:
    """All options of all commands in Markdown: those that every command has, then a table for each group and algorithm.

    Args:
        commands: In the order of the chapters.
        layers: The first one is the package's own configuration, for the defaults; None for the usual one.
    """
    commands = list(commands)
    known = KnownOptions.of(commands)
    files = config.load((config.default_layers() if layers is None else layers)[:1], known)
    lines = ["## every command", "", "Flags only: these cannot be set in a file.", "", *_HEAD]
    lines += [f"| `{each.flags[-1]}` | {show(each.default)} | {each.allowed} | {each.help} |" for each in builtin()]
    lines += ["| `-h`, `--help` | false | true or false | Show the command's options, then stop. |", ""]
    for command in commands:
        lines += [f"## {command.name}", "", command.purpose, ""]
        first = next(iter(command.algorithms()), None)
        for title, declared in _groups(command, None).items():
            lines += _markdown(title, declared, command, None, files)
        for algorithm in command.algorithms() if first else []:
            flag = command.algorithm.flag if command.algorithm else ""
            lines += _markdown(f"`--{flag} {algorithm}`", command.own(algorithm), command, algorithm, files)
            recipe = ", ".join(f"`{name}` {show(value)}" for name, value in command.recipe(algorithm).items())
            lines += [f"Unless said otherwise, `{algorithm}` runs with {recipe}.", ""] if recipe else []
    return "\n".join(lines)


def defaults(each: Declared, command: Command, algorithm: str | None, files: Configuration) -> str:
    """The value where the user says nothing, and those of the data sets that differ: ``0.05; digits: 0.1``."""
    sections = (algorithm, command.name) if algorithm else (command.name,)

    def value(dataset: str | None) -> Any:
        found = files.value(each, dataset, sections)
        return found[0] if found else each.default

    general = value(None)
    special = [f"{name}: {show(value(name))}" for name in files.datasets(each.name) if value(name) != general]
    return "; ".join([show(general), *special])


def _groups(command: Command, algorithm: str | None) -> dict[str, list[Declared]]:
    titles = {"": command.algorithm.flag if command.algorithm else "", "algorithm": algorithm or ""}
    groups: dict[str, list[Declared]] = {}
    for each in command.declared(algorithm):
        groups.setdefault(titles.get(each.group, each.group), []).append(each)
    return groups


def _entry(each: Declared, command: Command, algorithm: str | None, files: Configuration, width: int) -> str:
    if each.positional:
        left = f"  {each.name} …"
    elif each.is_switch:
        left = f"  {', '.join(each.flags)}"
    else:
        left = f"  {', '.join(each.flags)} {metavar(each.annotation)}"
    facts = [] if each.is_switch or each.allowed == "text" else [each.allowed]
    facts += [f"unit: {each.unit}"] if each.unit else []
    facts.append(f"default: {_switch_words(defaults(each, command, algorithm, files), each)}")
    return _wrapped(left, f"{each.help} ({'; '.join(facts)})", width)


def _switch_words(text: str, each: Declared) -> str:
    if not each.is_switch:
        return text
    words = text.replace("true", "on").replace("false", "off")
    return f"{words}; {each.negation} switches it off" if "on" in words.split() else words


def _wrapped(left: str, right: str, width: int) -> str:
    lines = textwrap.wrap(right, width - _INDENT, break_on_hyphens=False)
    if len(left) + 2 > _INDENT:
        return "\n".join([left, *(" " * _INDENT + line for line in lines)])
    return "\n".join([left.ljust(_INDENT) + lines[0], *(" " * _INDENT + line for line in lines[1:])])


def _markdown(
    title: str, declared: Sequence[Declared], command: Command, algorithm: str | None, files: Configuration
) -> list[str]:
    if not declared:
        return []
    lines = [f"### {command.name}: {title}", "", *_HEAD]
    for each in declared:
        spelled = ", ".join(f"`{flag}`" for flag in each.flags) or f"`{each.name} …`"
        allowed = each.allowed + (f" ({each.unit})" if each.unit else "")
        cells = [spelled, defaults(each, command, algorithm, files), allowed, each.help]
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return [*lines, ""]
