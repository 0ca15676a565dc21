"""Slips in a user's scale, which would leave everything at its full size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autovul.base.errors import UsageError, nearest
from autovul.base.experiments import Experiment, Scale
from autovul.base.groups import GROUPS
from autovul.base.registry import UnknownName
from autovul.base.sweep.plan import Catalogue

OF_THE_PLAN = ("model", "model_arch", "genotype", "seed", "suffix", "resume")  # what nobody else says


def require_known(
    scale: Scale, experiments: Mapping[str, Experiment], catalogue: Catalogue, asked: Sequence[str]
) -> None:
    """Make sure that commands, options, experiments and networks of a scale are there.

    Args:
        scale: What is checked. A name under ``by_network`` that is like none may be that of a network of one's own that
            takes no part now.
        experiments: All there are, by name.
        catalogue: Knows networks and commands.
        asked: Networks and groups that shall take part, own ones among them.

    Raises:
        UsageError: One is not; the nearest ones are shown.
    """
    known = catalogue.known_options()
    commands = sorted({experiment.command for experiment in experiments.values()})
    _refuse(scale, "options", "command", set(scale.options) - set(commands), commands)
    for command, options in scale.options.items():
        for name in options:
            if name in OF_THE_PLAN:
                raise UsageError(f"scale {scale.name}: {name}: the plan sets it for every run")
            if name not in known.sections[command]:
                raise UsageError(f"scale {scale.name}: {name}: {known.explain_unknown(name)}")
    absent = set(scale.grids) - set(experiments)  # one like none may be of a file that is not given now
    _refuse(scale, "grids", "experiment", {name for name in absent if nearest(name, experiments)}, experiments)
    own = [*asked, *(name for experiment in experiments.values() for name in experiment.networks)]
    taking_part = {catalogue.canonical(name) for each in own for name, _ in catalogue.networks([each])}
    networks = [name for name, _ in catalogue.networks([group for group in GROUPS if group != "yours"])]
    for name in sorted(set(scale.by_network) - taking_part):
        try:
            proper = catalogue.canonical(name)
        except UnknownName:
            if nearest(name, networks):
                _refuse(scale, "by_network", "network", {name}, networks)
            continue
        if proper != name:
            raise UsageError(f"scale {scale.name}: by_network: {name} is called {proper} there")


def _refuse(scale: Scale, entry: str, kind: str, unknown: set[str], known: Iterable[str]) -> None:
    for name in sorted(unknown):
        raise UsageError(f"scale {scale.name}: {entry}: no {kind} {name!r}{nearest(name, known)}")
