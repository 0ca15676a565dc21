"""Registries: a name on the command line, a key in a file and a class or builder in the code are one thing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from autovul.base.errors import UsageError, nearest

T = TypeVar("T", bound=Callable[..., Any])


class UnknownName(UsageError, ValueError):
    """A name that no registry entry has."""


class Registry(Generic[T]):
    """A mapping from names to classes or builders of one kind.

    Args:
        kind: What an entry is, in the singular and as users say it ("model", "data set"); it opens error messages.
        elsewhere: What else users may mean, as a clause that ends the message on an unknown name.
    """

    def __init__(self, kind: str, elsewhere: str = "") -> None:
        self.kind, self.elsewhere = kind, elsewhere
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._numbered: dict[str, tuple[Callable[[int], T], int]] = {}

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """A decorator that makes its class or builder known as ``name`` (the canonical one) and ``aliases``.

        What is defined again in place of itself, as a notebook's cell does that runs twice, is replaced.

        Raises:
            ValueError: A name is another entry's, or the entry has an attribute ``name`` that is not this one.
        """

        def add(entry: T) -> T:
            if (own := getattr(entry, "name", name)) != name:
                raise ValueError(f"{self.kind} {name!r} calls itself {own!r}: its attribute name must be {name!r}")
            taken = {known: self._aliases.get(known, known) for known in (name, *aliases) if known in self}
            for known, canonical in taken.items():
                if _place(self._entries[canonical]) != _place(entry):
                    raise ValueError(f"{self.kind} {known!r} is registered twice")
            for canonical in {*taken.values()}:
                del self._entries[canonical]
                self._aliases = {alias: target for alias, target in self._aliases.items() if target != canonical}
            self._entries[name] = entry
            self._aliases.update(dict.fromkeys(aliases, name))
            return entry

        return add

    def register_numbered(self, prefix: str, usual: int) -> Callable[[Callable[[int], T]], Callable[[int], T]]:
        """A decorator for what gives the entries ``{prefix}_1``, ``{prefix}_2``, …, each when it is asked for.

        There is no end to them, so that `list` leaves them out.

        Args:
            prefix: What their names begin with.
            usual: How many `numbered` names.
        """

        def add(make: Callable[[int], T]) -> Callable[[int], T]:
            self._numbered[prefix] = make, usual
            return make

        return add

    def numbered(self) -> tuple[str, ...]:
        """The names of the usual ones of what is numbered."""
        return tuple(f"{prefix}_{n}" for prefix, (_, usual) in self._numbered.items() for n in range(1, usual + 1))

    def canonical(self, name: str) -> str:
        """The canonical form of a name or alias.

        Raises:
            UnknownName: No entry has this name; the message gives the nearest ones.
        """
        resolved = self._aliases.get(name, name)
        if resolved not in self._entries and self._made(name) is None:
            known = [*self._entries, *self._aliases, *(f"{prefix}_1" for prefix in self._numbered)]
            hint = nearest(name, known) or f"; there are: {', '.join(self.list())}"
            raise UnknownName(f"unknown {self.kind} {name!r}{hint}{self.elsewhere}")
        return resolved

    def get(self, name: str) -> T:
        """The class or builder registered under a name or alias."""
        return self._made(name) or self._entries[self.canonical(name)]

    def create(self, name: str, **options: Any) -> Any:
        """Call the entry with ``options``."""
        return self.get(name)(**options)

    def list(self) -> list[str]:
        """The canonical names, in order of registration."""
        return [*self._entries]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._aliases or self._made(str(name)) is not None

    def _made(self, name: str) -> T | None:
        """The numbered entry of this name; None where there is none."""
        prefix, _, number = name.rpartition("_")
        if prefix not in self._numbered or not re.fullmatch("[1-9][0-9]{0,8}", number):
            return None
        return self._numbered[prefix][0](int(number))


def _place(entry: object) -> tuple[object, ...]:
    """Where a class, or the function that builds, is defined; what has no name of its own stands for itself alone."""
    entry = getattr(entry, "build", entry)
    name = getattr(entry, "__qualname__", "<")
    return (id(entry),) if "<" in name else (getattr(entry, "__module__", None), name)  # <lambda>, <locals>
