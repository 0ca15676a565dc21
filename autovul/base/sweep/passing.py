"""Tells a sweep's own arguments from those that it passes on to the commands it runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from autovul.base.errors import UsageError, nearest
from autovul.base.settings.flags import is_flag, spelling
from autovul.base.settings.known_options import LEFT_OUT, KnownOptions


def split(argv: Sequence[str], own: Collection[str], known: KnownOptions) -> tuple[list[str], dict[str, str | bool]]:
    """Take the options of other commands out of a command line.

    Args:
        argv: The arguments.
        own: The sweep's own flags, as `spelling` writes them; they and all words stay.
        known: Every option of every command.

    Returns:
        The arguments that stay, and the others as values by option.

    Raises:
        UsageError: A flag is unknown, lacks its value or is given twice.
    """
    names = {flag: (each, True) for found in known.options.values() for each in found for flag in each.flags}
    names |= {each.negation: (each, False) for found in known.options.values() for each in found if each.is_switch}
    stay: list[str] = []
    passed: dict[str, str | bool] = {}
    words = iter(argv)
    for word in words:
        flag = spelling(word)
        if not is_flag(word) or flag in own or word in ("-h", "--help"):
            stay.append(word)
            continue
        declared, positive = names.get(flag) or names.get(flag.replace("--no_", "--no-")) or (None, True)
        if declared is None:
            hint = nearest(flag, [*own, *names], count=1)
            raise UsageError(f"{flag}: {LEFT_OUT.get(flag.removeprefix('--')) or f'unknown flag{hint}'}")
        if declared.name in passed:
            raise UsageError(f"{flag}: given twice")
        if declared.is_switch:
            passed[declared.name] = positive
        elif "=" in word:
            passed[declared.name] = word.partition("=")[2]
        else:
            value = next(words, None)
            if value is None or is_flag(value):
                raise UsageError(f"{flag}: needs a value, {declared.allowed}")
            passed[declared.name] = value
    return stay, passed
