"""The description of a command: its groups of options, the algorithm it lets choose, and every option declared so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from autovul.base.errors import nearest
from autovul.base.options import OptionError, Options, option
from autovul.base.registry import Registry
from autovul.base.settings import option_types

RESERVED_GROUPS = {
    *("algorithm", "algorithm_name", "command", "config_file", "dataset", "effective", "groups", "source", "sources")
}


class CommandLineOptions(Options):
    """What every command understands beside its own options; flags only."""

    config: Path | None = option(None, "A YAML file that stands above all other configuration files.")
    print_config: bool = option(False, "Print every option's value and where it comes from, then stop.")


@dataclass(frozen=True)
class Declared:
    """One option of one `Options` class.

    Args:
        name: The option's name; its flag is ``--name``.
        group: Where its value is found in the settings: a group's attribute name, or "" for the choice of algorithm.
        options: The class that declares it.
    """

    name: str
    group: str
    options: type[Options]

    @cached_property
    def _field(self) -> Any:
        return self.options.model_fields[self.name]

    @property
    def annotation(self) -> Any:
        return self._field.annotation

    @property
    def default(self) -> Any:
        return self._field.default

    @property
    def help(self) -> str:
        return self._field.description or ""

    @property
    def unit(self) -> str:
        return self._extra("unit", "")

    @property
    def positional(self) -> bool:
        return self._extra("positional", False)

    @property
    def needs(self) -> str:
        """The option without which it does nothing."""
        return self._extra("needs", "")

    @property
    def flags(self) -> list[str]:
        """The spellings of its flag: short forms first, ``--name`` last."""
        return [] if self.positional else [*self._extra("flags", []), f"--{self.name}"]

    @property
    def is_switch(self) -> bool:
        return option_types.is_switch(self.annotation)

    @property
    def negation(self) -> str:
        """The flag that switches it off."""
        return f"--{self.name[3:]}" if self.name.startswith("no_") else f"--no-{self.name}"

    @property
    def allowed(self) -> str:
        """What it allows, in plain words."""
        return option_types.describe(self.annotation, self._field.metadata)

    def _extra(self, key: str, default: Any) -> Any:
        return (self._field.json_schema_extra or {}).get(key, default)

    def from_text(self, text: str) -> Any:
        """The value that text on the command line gives.

        Raises:
            OptionError: It is not allowed; the message says what is, but not which option.
        """
        _require_unicode(text)
        value = option_types.read_text(self.annotation, text)
        return self._checked(value, option_types.quote(text), nearest(text, option_types.choices(self.annotation)))

    def from_words(self, words: list[str]) -> Any:
        """The value that a positional list gives.

        Raises:
            OptionError: As `from_text`.
        """
        _require_unicode(" ".join(words))
        value = option_types.read_words(option_types.members(self.annotation)[-1], words)
        return self._checked(value, option_types.quote(" ".join(words)))

    def from_yaml(self, value: Any, text: str) -> Any:
        """The value that a YAML file gives.

        Args:
            value: The scalar or list, as YAML reads it.
            text: The same as the file writes it.

        Raises:
            OptionError: As `from_text`.
        """
        kinds = {option_types.kind(member) for member in option_types.members(self.annotation)}
        hint = nearest(text, option_types.choices(self.annotation))
        if kinds & {"text", "path", "choice"} and isinstance(value, (bool, int, float)):
            read_as = option_types.show(value) if isinstance(value, bool) else "a number"
            hint = f", which YAML reads as {read_as}; quotes make it text"
        shown = repr(value) if isinstance(value, str) else text
        return self._checked(option_types.read_yaml(self.annotation, value), option_types.shorten(shown), hint)

    def _checked(self, value: Any, shown: str, hint: str = "") -> Any:
        try:
            return getattr(self.options(**{self.name: value}), self.name)
        except OptionError as error:
            if error.option != self.name:
                # A rule over several options; it is judged when all of them are known.
                return value
            if error.rule:
                raise OptionError(error.rule, option=self.name) from None
        raise OptionError(f"must be {self.allowed}, got {shown}{hint}", option=self.name)


@dataclass(frozen=True)
class AlgorithmChoice:
    """The choice of one of several algorithms, whose own options then join the command's.

    Args:
        flag: The option's name, such as ``attack``.
        registry: The algorithms; each entry is an `Options` class.
        default: The name of the one that runs where nobody says otherwise.
        help: One sentence for ``-h``.
    """

    flag: str
    registry: Registry[Any]
    default: str
    help: str = "Which algorithm runs."

    @cached_property
    def options(self) -> type[Options]:
        """An `Options` class whose only field is the choice; aliases become canonical names."""

        def canonical(name: Any) -> Any:
            return self.registry.canonical(name) if isinstance(name, str) and name in self.registry else name

        kind = Annotated[Literal[tuple(self.registry.list())], pydantic.BeforeValidator(canonical)]  # type: ignore
        field: Any = (kind, option(self.default, self.help))
        return pydantic.create_model("Choice", __base__=Options, **{self.flag: field})


@dataclass(frozen=True)
class Command:
    """What a command is called, is for, and lets one set.

    Args:
        name: As in ``autovul NAME``.
        purpose: One line.
        groups: Attribute name in the settings (``data``, ``training``) and the class of options found there.
        algorithm: The choice of algorithm, where there is one.
        examples: Command lines that end the help.
        dataset_option: The option that names the data set in use, for values that differ by data set.
        misplaced: From all values, the options that do not suit what the others choose. They keep their defaults where
            a file sets them, since it is written for many command lines.

    Raises:
        ValueError: An option, a flag or a reserved name is declared twice.
    """

    name: str
    purpose: str
    groups: Mapping[str, type[Options]]
    algorithm: AlgorithmChoice | None = None
    examples: tuple[str, ...] = ()
    dataset_option: str = "dataset"
    misplaced: Callable[[Mapping[str, Any]], Iterable[str]] = lambda values: ()

    def __post_init__(self) -> None:
        if taken := RESERVED_GROUPS & set(self.groups):
            raise ValueError(f"command {self.name}: a group cannot be called {sorted(taken)[0]!r}")
        algorithms: list[str | None] = [*self.algorithms()]
        for algorithm in algorithms or [None]:
            self._refuse_duplicates(algorithm)

    def algorithms(self) -> list[str]:
        """The canonical names of the algorithms to choose from; none where there is no choice."""
        return self.algorithm.registry.list() if self.algorithm else []

    def recipe(self, algorithm: str | None) -> Mapping[str, Any]:
        """What an algorithm asks of the options of other groups where nobody says otherwise: its ``recipe``."""
        if self.algorithm is None or algorithm is None:
            return {}
        recipe = getattr(self.algorithm.registry.get(algorithm), "recipe", {})
        if unknown := set(recipe) - {each.name for each in self.declared(algorithm)}:
            raise ValueError(f"the recipe of {algorithm} names {sorted(unknown)[0]!r}, no option of {self.name}")
        return recipe

    def common(self) -> list[Declared]:
        """The options that do not depend on the algorithm, the choice of it among them."""
        declared = [each for group, options in self.groups.items() for each in _fields(group, options)]
        return [*declared, *_fields("", self.algorithm.options)] if self.algorithm else declared

    def own(self, algorithm: str | None) -> list[Declared]:
        """The options that an algorithm adds."""
        if self.algorithm is None or algorithm is None:
            return []
        return list(_fields("algorithm", self.algorithm.registry.get(algorithm)))

    def declared(self, algorithm: str | None) -> list[Declared]:
        """Every option of the command when this algorithm is chosen."""
        return [*self.common(), *self.own(algorithm)]

    def selectors(self) -> list[Declared]:
        """The options on which the reading of the others depends: the data set's name and the choice of algorithm."""
        return [each for each in self.common() if each.name == self.dataset_option or each.group == ""]

    def _refuse_duplicates(self, algorithm: str | None) -> None:
        seen: set[str] = set()
        for each in [*builtin(), *self.declared(algorithm)]:
            for spelled in {each.name, *each.flags}:
                if spelled in seen:
                    raise ValueError(f"command {self.name}: {spelled} is declared twice")
                seen.add(spelled)


def builtin() -> list[Declared]:
    """The options that every command has, flags only."""
    return list(_fields("", CommandLineOptions))


def _require_unicode(text: str) -> None:
    """Refuse what no result record, log or page could show."""
    if not option_types.is_unicode(text):
        raise OptionError(f"must be Unicode text, got {option_types.quote(text)}")


def _fields(group: str, options: type[Options]) -> Iterator[Declared]:
    return (Declared(name, group, options) for name in options.model_fields)
