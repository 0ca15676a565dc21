"""A scale: on which data, with which networks and how shortened the experiments run."""

from __future__ import annotations

from autovul.base.experiments.definition import Experiment, Name, Scalar, Value, Values
from autovul.base.options import OptionError, Options, option


class Scale(Options):
    """How large the experiments are.

    Args:
        name: Its name, as the file is called.
        about: For readers: on what, how long, and what it leaves out.
        dataset: The data set.
        seeds: How many repetitions, unless the user says otherwise.
        suffix: What follows the names of weights, so that scales do not overwrite each other's.
        networks: Networks and groups that take part, of those that an experiment names; none: all.
        manual, cells: Options of the manual networks, and of those made of cells.
        by_network: Further options of single networks.
        options: By command: in place of, and beside, an experiment's schedule.
        grids: By experiment: in place of single entries of its grid.
    """

    name: Name = option("", "As the file is called.")
    about: str = option("", "On what, and how long.", min_length=1)
    dataset: Name = option("", "The data set.")
    seeds: int = option(3, "Repetitions.", ge=1)
    suffix: str = option("", "Follows the names of weights.")
    networks: tuple[Name, ...] = option((), "Networks and groups that take part; none: all.")
    manual: dict[str, Scalar] = option({}, "Options of manual networks.")
    cells: dict[str, Scalar] = option({}, "Options of networks made of cells.")
    by_network: dict[str, dict[str, Scalar]] = option({}, "Further options of single networks.")
    options: dict[str, dict[str, Value]] = option({}, "By command, in place of an experiment's schedule.")
    grids: dict[str, dict[str, Values]] = option({}, "By experiment, in place of entries of its grid.")

    def apply(self, experiment: Experiment) -> Experiment:
        """The experiment at this scale.

        Raises:
            OptionError: The scale changes what makes it this experiment, or an entry that its grid does not have.
        """
        changes = self.options.get(experiment.command, {})
        if fixed := sorted(set(changes) & {*experiment.options, *experiment.grid}):
            raise OptionError(
                f"scale {self.name}: {fixed[0]} makes {experiment.name} what it is, so that a scale cannot change it"
            )
        grid = self.grids.get(experiment.name, {})
        if unknown := sorted(set(grid) - set(experiment.grid)):
            raise OptionError(f"scale {self.name}: the grid of {experiment.name} has no {unknown[0]}")
        # A copy, not a new experiment: a claim's `where` may name a value that this scale leaves out.
        return experiment.model_copy(
            update={"schedule": {**experiment.schedule, **changes}, "grid": {**experiment.grid, **grid}}
        )

    def network_options(self, name: str, group: str, has_cells: bool) -> dict[str, Scalar]:
        """The options of a network; one of the user's own code takes none but those under its name."""
        of_kind = self.cells if has_cells else self.manual if group == "manual" else {}
        return {**of_kind, **self.by_network.get(name, {})}
