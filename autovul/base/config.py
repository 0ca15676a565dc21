"""Configuration files: five layers, read whole and strictly before anything else happens.

A file maps option names to values. Under the name of a command or an algorithm stand values for that one only, which
win over the same layer's general ones. A mapping in place of a value holds one value per data set.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from autovul.base.errors import UsageError, nearest
from autovul.base.options import OptionError
from autovul.base.settings import yaml_strict
from autovul.base.settings.command import Command, Declared
from autovul.base.settings.known_options import KnownOptions
from autovul.base.settings.yaml_strict import Located

DEFAULT = "default"
_KINDS = ("base", "vision")  # folders that a layer's files lie in
_OTHER_SUFFIXES = (".json", ".toml", ".ini")
_LIKE_A_NAME = 0.8  # how similar a data-set key must be to a registered name to be taken for a slip


@dataclass(frozen=True)
class Layer:
    """The files of one level of precedence.

    Args:
        name: What the level is called: package, user, workspace.
        folders: Where its files are; a folder that does not exist has none.
    """

    name: str
    folders: tuple[Path, ...]

    def files(self) -> list[Path]:
        """Its YAML files, folder by folder, by name.

        Raises:
            UsageError: A folder cannot be read.
        """
        return [each for each in self._visible() if each.suffix.lower() in yaml_strict.ENDINGS]

    def ignored(self) -> list[tuple[Path, str]]:
        """Files that look like configuration and are not read, and why not."""
        here = self._visible()
        other = [each for each in here if each.suffix.lower() in _OTHER_SUFFIXES]
        folders = " or ".join(map(str, self.folders))
        # A folder that has none of a layer's may be another program's.
        beside = _visible(self.folders[0].parent) if any(folder.is_dir() for folder in self.folders) else []
        below = [inner for each in here if each.is_dir() for inner in _visible(each)]
        misplaced = [each for each in (*beside, *below) if each.suffix.lower() in yaml_strict.ENDINGS]
        return [
            *((each, "its name ends in neither .yaml nor .yml") for each in other),
            *((each, f"it is not in {folders} itself") for each in misplaced),
        ]

    def _visible(self) -> list[Path]:
        return [each for folder in self.folders for each in _visible(folder)]


def _visible(folder: Path) -> list[Path]:
    """A folder's entries by name, without hidden ones; none of a folder that does not exist."""
    try:
        found = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}") from None
    return [each for each in found if not each.name.startswith(".")]


def default_layers() -> tuple[Layer, ...]:
    """The layers that every command reads, lowest first: package, user (dotted), user, workspace."""
    package = Path(str(resources.files("autovul")))
    layers = [Layer("package", tuple(package / kind / "configs" for kind in _KINDS))]
    try:
        home = Path.home()
    except RuntimeError:  # an account without a home folder has no user layers
        homes = []
    else:
        homes = [("user, dotted", home / ".autovul" / "configs"), ("user", home / "autovul" / "configs")]
    for name, folder in [*homes, ("workspace", Path("configs"))]:
        layers.append(Layer(name, tuple(folder / kind for kind in _KINDS)))
    return tuple(layers)


@dataclass(frozen=True)
class Setting:
    """What one layer says of one option: a value, or one for each of several data sets."""

    place: str
    value: Located | None
    per_dataset: Mapping[str, Located]

    def choose(self, dataset: str | None) -> Located | None:
        """The value for a data set; None where the layer says nothing about it."""
        return self.value or self.per_dataset.get(dataset or DEFAULT) or self.per_dataset.get(DEFAULT)


# An option's name below a section's; None for the general part of a file.
_Key = tuple[str | None, str]


@dataclass(frozen=True)
class Configuration:
    """What all files say. Each layer maps ``(section or None, option)`` to a setting; the last layer wins.

    The recipe is what the algorithm in use asks of other groups' options. It stands in the lowest layer, below that
    layer's sections and above its general part.
    """

    layers: tuple[Mapping[_Key, Setting], ...]
    known: KnownOptions
    ignored: tuple[tuple[Path, str], ...] = ()
    recipe: Mapping[str, Located] = field(default_factory=dict)

    def with_recipe(self, command: Command, algorithm: str | None) -> Configuration:
        """The configuration with the recipe of an algorithm of a command, if it has one."""
        values = command.recipe(algorithm)
        return replace(self, recipe={n: Located(v, f"recipe of {algorithm}", repr(v)) for n, v in values.items()})

    def lookup(self, name: str, dataset: str | None, sections: Sequence[str] = ()) -> Located | None:
        """The value that wins.

        Args:
            name: The option.
            dataset: The data set in use.
            sections: The sections that apply, the most specific one first.
        """
        for layer in reversed(self.layers):
            for section in (*sections, None):
                if section is None and layer is self.layers[0] and name in self.recipe:
                    return self.recipe[name]
                setting = layer.get((section, name))
                chosen = setting.choose(dataset) if setting else None
                if chosen:
                    return chosen
        return None

    def value(self, declared: Declared, dataset: str | None, sections: Sequence[str] = ()) -> tuple[Any, str] | None:
        """The winning value, checked against the declaration in use, and its place.

        Raises:
            OptionError: It suits only another command's option of this name.
        """
        located = self.lookup(declared.name, dataset, sections)
        return None if located is None else (_checked([declared], located), located.place)

    def datasets(self, name: str) -> list[str]:
        """The data sets for which any file says something special about an option."""
        found = [
            key for layer in self.layers for (_, option), setting in layer.items() if option == name
            for key in setting.per_dataset
        ]  # fmt: skip
        return [key for key in dict.fromkeys(found) if key != DEFAULT]

    def warnings(self, dataset: str | None) -> Iterator[str]:
        """One line for each file that is not read, and for each data-set key that looks like a slip.

        The latter is no error: a folder of data may have any name.
        """
        for path, reason in self.ignored:
            yield f"{path}: is not read, as {reason}"
        names = [*self.known.datasets, DEFAULT]
        for layer in self.layers:
            for setting in layer.values():
                for key, located in setting.per_dataset.items():
                    slips = difflib.get_close_matches(key, names, n=1, cutoff=_LIKE_A_NAME)
                    if slips and key not in (*names, dataset):
                        yield f"{located.place}: no data set {key!r} is registered; is {slips[0]!r} meant?"


def load(layers: Sequence[Layer], known: KnownOptions, config_file: Path | None = None) -> Configuration:
    """Read all files of all layers and check every name and value in them.

    Args:
        layers: Lowest first.
        known: The names that may occur.
        config_file: A file above the layers.

    Raises:
        UsageError: The first mistake, as ``file:line: name: what is wrong``.
    """
    stacks = [layer.files() for layer in layers]
    if config_file is not None:
        stacks.append([config_file])
    read = tuple(_read_layer(files, known) for files in stacks)
    return Configuration(read, known, tuple(each for layer in layers for each in layer.ignored()))


def _read_layer(files: Sequence[Path], known: KnownOptions) -> dict[_Key, Setting]:
    layer: dict[_Key, Setting] = {}
    for path in files:
        for key, setting in _read_file(path, known):
            if key in layer:
                raise UsageError(
                    f"{setting.place}: {key[1]}: also given in {layer[key].place}, with the same precedence"
                )
            layer[key] = setting
    return layer


def _read_file(path: Path, known: KnownOptions) -> Iterator[tuple[_Key, Setting]]:
    for name, located in yaml_strict.load(path).items():
        if name not in known.sections:
            yield (None, name), _setting(name, located, known, None)
            continue
        if located.value is not None and not isinstance(located.value, Mapping):
            raise UsageError(f"{located.place}: {name}: a section, must hold options, got {located.text}")
        for option, inner in (located.value or {}).items():
            yield (name, option), _setting(option, inner, known, name)


def _setting(name: str, located: Located, known: KnownOptions, section: str | None) -> Setting:
    declarations = _declarations(name, located.place, known, section)
    if not isinstance(located.value, Mapping):
        _checked(declarations, located)
        return Setting(located.place, located, {})
    if name in known.dataset_options:
        raise UsageError(f"{located.place}: {name}: cannot differ by data set")
    if not located.value:
        raise UsageError(f"{located.place}: {name}: must hold a value for at least one data set")
    for each in located.value.values():
        if isinstance(each.value, Mapping):
            raise UsageError(f"{each.place}: {name}: must hold one plain value for each data set")
        _checked(declarations, each)
    return Setting(located.place, None, located.value)


def _declarations(name: str, place: str, known: KnownOptions, section: str | None) -> list[Declared]:
    if name not in known.options:
        raise UsageError(f"{place}: {name}: {known.explain_unknown(name)}")
    if section is None:
        return known.options[name]
    if section in known.algorithms and name in known.selectors:
        raise UsageError(f"{place}: {name}: cannot stand in the section of an algorithm")
    if name not in known.sections[section]:
        hint = nearest(name, known.sections[section], count=1) or f"; it belongs to {known.owner(name)}"
        raise UsageError(f"{place}: {name}: no option of {section}{hint}")
    return known.sections[section][name]


def _checked(declarations: Sequence[Declared], located: Located) -> Any:
    """The value, if any of the declarations accepts it; the same name may mean different things to two commands."""
    failures = []
    for declared in declarations:
        try:
            return declared.from_yaml(located.value, located.text)
        except OptionError as error:
            failures.append(f"{located.place}: {declared.name}: {error}")
    raise OptionError(failures[0])
