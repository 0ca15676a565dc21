"""Reading experiments and scales from YAML files: those of the package by name, a user's own by path."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from autovul.base.errors import UsageError, nearest
from autovul.base.experiments.definition import Experiment
from autovul.base.experiments.scale import Scale
from autovul.base.options import OptionError, Options
from autovul.base.settings import yaml_strict
from autovul.base.settings.yaml_strict import Located

_FOLDER = Path(__file__).parent
FILE_ENDINGS = yaml_strict.ENDINGS
# The order of the paper: what needs no training last among equals, so that trained networks come first.
_ORDER = (
    *("table1", "fig2", "distance", "fig6", "fig7", "fig9", "fig10", "fig12"),
    *("loss_contour", "neuron_number", "table4"),
)

Definition = TypeVar("Definition", Experiment, Scale)


def experiment_names() -> list[str]:
    """The experiments of the package, in the order of the paper."""
    names = {path.stem for path in _FOLDER.glob("*.yaml")}
    return [*(name for name in _ORDER if name in names), *sorted(names - set(_ORDER))]


def scale_names() -> list[str]:
    """The scales of the package."""
    return sorted(path.stem for path in (_FOLDER / "scales").glob("*.yaml"))


def load_experiments(wanted: Iterable[str] = ()) -> dict[str, Experiment]:
    """The experiments of the package, and those of the files among ``wanted``.

    Args:
        wanted: Names, and paths of YAML files; the files' experiments join the package's.

    Returns:
        By name: all those of the package, then those of the files.

    Raises:
        UsageError: An unknown name, a file that is no experiment, ``after`` names none, or they wait for each other.
    """
    names = experiment_names()
    experiments = {name: _shipped(_FOLDER / f"{name}.yaml", Experiment) for name in names}
    for each in wanted:
        if each.endswith(FILE_ENDINGS):
            own = _read(Path(each), Experiment)
            if own.name in names:
                raise UsageError(f"{each}: {own.name} is the name of an experiment of the package: rename the file")
            if experiments.get(own.name, own) != own:
                raise UsageError(f"{each}: there is another file of this name: rename one of them")
            experiments[own.name] = own
        elif each not in experiments:
            raise UsageError(f"unknown experiment {each!r}{nearest(each, experiments)}; there are: {', '.join(names)}")
    for experiment in experiments.values():
        for before in experiment.after:
            if before not in experiments:
                raise UsageError(f"{experiment.name}: after: no experiment {before!r}{nearest(before, experiments)}")
    _refuse_cycles(experiments)
    return experiments


def load_scale(wanted: str) -> Scale:
    """A scale of the package by name, or a user's own by the path of its file.

    Raises:
        UsageError: There is none, or the file is not one.
    """
    if wanted.endswith(FILE_ENDINGS):
        return _read(Path(wanted), Scale)
    if wanted not in scale_names():
        names = scale_names()
        raise UsageError(f"unknown scale {wanted!r}{nearest(wanted, names)}; there are: {', '.join(names)}, or a file")
    return _shipped(_FOLDER / "scales" / f"{wanted}.yaml", Scale)


@functools.cache
def _shipped(path: Path, kind: type[Definition]) -> Definition:
    """A file of the package, which is read once: a page asks for the scales with each claim."""
    return _read(path, kind)


def _read(path: Path, kind: type[Definition]) -> Definition:
    located = yaml_strict.load(path)
    if "name" in located:
        raise UsageError(f"{located['name'].place}: name: is the file's own, {path.stem}")
    _refuse_unknown(path, located, kind)
    try:
        return kind(name=path.stem, **{name: _plain(kind, name, each) for name, each in located.items()})
    except OptionError as error:
        place = located[error.option].place if error.option in located else str(path)
        raise UsageError(f"{place}: {str(error).partition(': ')[2] or error}") from None


def _refuse_unknown(path: Path, located: Mapping[str, Located], kind: type[Options]) -> None:
    for name, each in located.items():
        if name not in kind.model_fields:
            raise UsageError(f"{each.place}: unknown entry {name!r}{nearest(name, kind.model_fields)}")


def _plain(kind: type[Options], name: str, each: Located) -> Any:
    """A value without its places; lists as tuples, as the definitions hold them."""
    if isinstance(each.value, Mapping):
        return {key: _plain(kind, key, inner) for key, inner in each.value.items()}
    if isinstance(each.value, list):
        return tuple(each.value)
    return {} if each.value is None and name in _mappings(kind) else each.value


def _mappings(kind: type[Options]) -> set[str]:
    """Entries whose emptiness YAML reads as null."""
    return {name for name, field in kind.model_fields.items() if field.default == {}}


def _refuse_cycles(experiments: Mapping[str, Experiment]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise UsageError(f"experiments wait for each other: {' after '.join([*path[path.index(name) :], name])}")
        if name not in done:
            for before in experiments[name].after:
                visit(before, (*path, name))
            done.add(name)

    for name in experiments:
        visit(name, ())
