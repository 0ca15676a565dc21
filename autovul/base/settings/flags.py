"""The command line as flags and words: argparse with the declared options, and stricter than it is by itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autovul.base.errors import UsageError
from autovul.base.options import OptionError
from autovul.base.settings.command import Declared
from autovul.base.settings.option_types import kind, members, quote

HELP = ("-h", "--help")
_NUMBER = re.compile(r"-[.0-9]")


@dataclass(frozen=True)
class Given:
    """A value from the command line, and its source in words."""

    value: Any
    source: str


def spelling(flag: str) -> str:
    """A flag with underscores for the dashes inside it, and without an attached value."""
    flag = flag.partition("=")[0]
    return f"--{flag[2:].replace('-', '_')}" if flag.startswith("--") else flag


def is_flag(word: str) -> bool:
    """Whether a word is a flag, and neither a value such as -1 nor a lone dash."""
    return word.startswith("-") and len(word) > 1 and not _NUMBER.match(word)


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether ``-h`` or ``--help`` is among the flags."""
    return any(flag in argv[: argv.index("--") if "--" in argv else None] for flag in HELP)


def collect(argv: Sequence[str], declared: Sequence[Declared]) -> tuple[dict[str, Given], list[str], list[str]]:
    """Read the values of declared options.

    Returns:
        The values by option name, the flags that no declared option has, and the words that belong to no flag.

    Raises:
        UsageError: A flag is given twice, lacks its value, or its value is not allowed.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for each in declared:
        for flags, constant in ((each.flags, True), ([each.negation] if each.is_switch else [], False)):
            if flags:
                # A missing value is left to us: nargs="?" makes argparse hand over None in its place.
                nargs: dict[str, Any] = {"nargs": 0, "const": constant} if each.is_switch else {"nargs": "?"}
                parser.add_argument(*_spellings(flags), action=_Give, dest=each.name, declared=each, **nargs)
    end = argv.index("--") if "--" in argv else len(argv)
    try:
        namespace, rest = parser.parse_known_args(_attached(argv[:end], parser), argparse.Namespace(given={}))
    except argparse.ArgumentError as error:  # what is left of its complaints: a switch with "=value"
        names = (error.argument_name or "").split("/")
        flag, _, text = next(word for word in argv if word.partition("=")[0] in names).partition("=")
        raise UsageError(f"{flag}: a switch takes no value, got {quote(text)}") from None
    unknown = [word for word in rest if is_flag(word)]
    words = [word for word in rest if word not in unknown]
    return namespace.given, [word.partition("=")[0] for word in unknown], [*words, *argv[end + 1 :]]


def positional(declared: Sequence[Declared], words: list[str], argv: Sequence[str]) -> dict[str, Given]:
    """Give the words that belong to no flag to the positional option.

    Args:
        declared: All options.
        words: The words.
        argv: Where they stood.

    Raises:
        UsageError: There is none, or it does not allow them.
    """
    if not words:
        return {}
    for each in declared:
        if each.positional:
            try:
                return {each.name: Given(each.from_words(words), "argument")}
            except OptionError as error:
                raise OptionError(f"{each.name}: {error}") from None
    before = dict(zip(argv[1:], argv, strict=False)).get(words[0], "")
    if any(each.is_switch and spelling(before) in (*each.flags, spelling(each.negation)) for each in declared):
        raise UsageError(f"unexpected word {quote(words[0])}: {before} is a switch and takes no value")
    raise UsageError(f"unexpected word {quote(words[0])}: values follow a flag, lists are joined by commas")


class _Give(argparse.Action):
    """Checks a flag's value against its declaration as soon as it is read."""

    def __init__(self, option_strings: Sequence[str], dest: str, declared: Declared, **options: Any) -> None:
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, **options)
        self.declared = declared

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        declared, flag = self.declared, str(option_string)
        if declared.name in namespace.given:
            raise UsageError(f"{flag}: given twice")
        namespace.given[declared.name] = Given(self._value(flag, values), f"flag {flag}")

    def _value(self, flag: str, text: str | None) -> Any:
        if self.declared.is_switch:
            return self.const
        if text is None:
            hint = f" (one that starts with a dash is written {flag}=-…)" if _takes_text(self.declared) else ""
            raise UsageError(f"{flag}: needs a value, {self.declared.allowed}{hint}")
        try:
            return self.declared.from_text(text)
        except OptionError as error:
            raise OptionError(f"{flag}: {error}") from None


def _spellings(flags: Sequence[str]) -> list[str]:
    """Each flag as declared, and with dashes for its underscores."""
    dashed = [f"--{flag[2:].replace('_', '-')}" for flag in flags if flag.startswith("--")]
    return list(dict.fromkeys([*flags, *dashed, *(spelling(flag) for flag in flags)]))


def _attached(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The arguments with negative numbers such as ``-8/255`` joined to their flags, which argparse takes for flags."""
    known = {flag for action in parser._actions for flag in action.option_strings if action.nargs == "?"}
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in known and _NUMBER.match(word):
            joined[-1] += f"={word}" if joined[-1].startswith("--") else word
        else:
            joined.append(word)
    return joined


def _takes_text(declared: Declared) -> bool:
    return any(kind(member) in ("text", "path") for member in members(declared.annotation))
