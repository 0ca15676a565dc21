"""The command line as flags and words.

Not argparse: an option's flags are known only after the algorithm's name has been found among them, values such as
``-8/255`` are no flags, and nothing is abbreviated, given twice or silently taken for a positional word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autovul.base.command import Declared
from autovul.base.errors import UsageError
from autovul.base.option_types import kind, members, quote
from autovul.base.options import OptionError

HELP = ("-h", "--help")
_FLAG = re.compile(r"-(?:-.|[^-.0-9])")  # not "-", "--", "-1" or "-.5"


@dataclass(frozen=True)
class Token:
    """A flag as typed ("" before the first), the value attached by ``=``, and the words up to the next flag."""

    flag: str
    attached: str | None
    words: list[str]


@dataclass(frozen=True)
class Given:
    """A value from the command line, and its source in words."""

    value: Any
    source: str


def tokenise(argv: Sequence[str]) -> list[Token]:
    """Split arguments at the flags; what follows a lone ``--`` is words."""
    tokens = [Token("", None, [])]
    for position, argument in enumerate(argv):
        if argument == "--":
            return [*tokens, Token("", None, list(argv[position + 1 :]))]
        if _FLAG.match(argument):
            flag, separator, attached = argument.partition("=")
            tokens.append(Token(flag, attached if separator else None, []))
        else:
            tokens[-1].words.append(argument)
    return tokens


def spelling(flag: str) -> str:
    """A flag with underscores for the dashes inside it."""
    return f"--{flag[2:].replace('-', '_')}" if flag.startswith("--") else flag


def collect(tokens: Sequence[Token], declared: Sequence[Declared]) -> tuple[dict[str, Given], list[str], list[str]]:
    """Read the values of declared options.

    Returns:
        The values by option name, the flags that no declared option has, and the words that belong to no flag.

    Raises:
        UsageError: A flag is given twice, lacks its value, or its value is not allowed.
    """
    table = {spelling(flag): each for each in declared for flag in each.flags}
    negated = {spelling(each.negation): each for each in declared if each.is_switch}
    given: dict[str, Given] = {}
    unknown: list[str] = []
    loose: list[str] = []
    for token in tokens:
        spelled = spelling(token.flag)
        each = table.get(spelled) or negated.get(spelled)
        if each is None:
            unknown += [token.flag] if token.flag else []
            loose += token.words
            continue
        if each.name in given:
            raise UsageError(f"{token.flag}: given twice")
        value, rest = _switch(token, spelled in table) if each.is_switch else _value(token, each)
        given[each.name] = Given(value, f"flag {token.flag}")
        loose += rest
    return given, unknown, loose


def positional(declared: Sequence[Declared], words: list[str]) -> dict[str, Given]:
    """Give the words that belong to no flag to the positional option.

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
    raise UsageError(f"unexpected word {quote(words[0])}: values follow a flag, lists are joined by commas")


def _switch(token: Token, on: bool) -> tuple[bool, list[str]]:
    if token.attached is not None:
        raise UsageError(f"{token.flag}: a switch takes no value, got {quote(token.attached)}")
    return on, token.words


def _value(token: Token, declared: Declared) -> tuple[Any, list[str]]:
    if token.attached is None and not token.words:
        hint = f" (one that starts with a dash is written {token.flag}=-…)" if _takes_text(declared) else ""
        raise UsageError(f"{token.flag}: needs a value, {declared.allowed}{hint}")
    text, rest = (token.words[0], token.words[1:]) if token.attached is None else (token.attached, token.words)
    try:
        return declared.from_text(text), rest
    except OptionError as error:
        raise OptionError(f"{token.flag}: {error}") from None


def _takes_text(declared: Declared) -> bool:
    return any(kind(member) in ("text", "path") for member in members(declared.annotation))
