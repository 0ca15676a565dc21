"""An experiment: which command runs over which grid, and what the paper says comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from autovul.base.options import Options, option

Scalar = bool | int | float | str | None
Value = Scalar | tuple[Scalar, ...]
Values = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Name = Annotated[str, Field(min_length=1)]

Trait = Literal["early_train_loss", "depth", "skips", "parameters"]
"""What networks may be halved by: how fast they train early on (the less loss, the faster), and facts of theirs."""

LARGEST, SMALLEST = "largest", "smallest"
"""In ``where``: the largest or smallest value of a grid that there are records of."""


class Control(Options):
    """Another reading of a claim: does its verdict survive it?

    Args:
        metric: The metric in place of the claim's. A ``*`` in it stands for a number: there is a control for each that
            was measured, and in the control's name the number takes the place of its ``*``.
        where: Grid values in place of the claim's; the others stay.
        reversed: Whether the metric falls where the claim's rises, so that the claimed sign turns.
    """

    metric: str | None = option(None, "Metric in place of the claim's; * stands for any number.")
    where: dict[str, Scalar] = option({}, "Grid values in place of the claim's.")
    reversed: bool = option(False, "The metric falls where the claim's rises.")


class Claim(Options):
    """What is claimed of an experiment, in numbers.

    Either a difference of two groups of networks, ``first`` minus ``second``, that is ``expected`` to within
    ``tolerance``, or of which only the ``direction`` is claimed; or (``range``) a band in which most networks of
    ``first`` lie. Without any of them, the difference is shown and not judged. With ``halves`` the two groups are
    halves of ``first``: the networks with less of a trait than its median, minus those with more.

    Args:
        says: The claim in words; continues "the paper says that" where it is the paper's.
        metric: The metric of the result records that decides.
        unit: Its unit in the claim.
        first, second: Networks and groups of networks.
        halves: A trait by which ``first`` is halved, in place of ``second``.
        where: Values of the experiment's grid; ``largest`` and ``smallest`` mean those that there are records of.
        expected, tolerance: Of the difference.
        direction: Whether ``first`` is higher or lower, where no number is expected.
        range: Least and greatest value of a network.
        data: The data set that a range is about, and with it the published networks: on other data, or in another size,
            networks are shown and not judged.
        in_general: Whether it is about what networks were drawn from, and judged by how much these differ as well;
            otherwise it is about these networks, and judged by the interval in which only seeds vary.
        controls: Other readings by name.
    """

    says: str = option("", "The claim in words.", min_length=1)
    metric: Name = option("", "The metric that decides.")
    unit: str = option("", "Its unit in the claim.")
    first: tuple[Name, ...] = option((), "Networks and groups.", min_length=1)
    second: tuple[Name, ...] = option((), "What they are compared with.")
    halves: Trait | None = option(None, "A trait by which first is halved, in place of second.")
    where: dict[str, Scalar] = option({}, "Values of the grid.")
    expected: float | None = option(None, "The difference.")
    tolerance: float | None = option(None, "Half the width of the expected band.", gt=0)
    direction: Literal["higher", "lower"] | None = option(None, "Of the difference, where no number is expected.")
    range: tuple[float, float] | None = option(None, "Least and greatest value of a network.")
    data: Name | None = option(None, "The data set that a range is about.")
    in_general: bool = option(False, "Judged by how much networks differ, too.")
    controls: dict[str, Control] = option({}, "Other readings by name.")

    @model_validator(mode="after")
    def _consistent(self) -> Claim:
        if sum(map(bool, (self.second, self.halves, self.range))) != 1:
            raise ValueError("a claim needs one of second (a difference), halves (of first) and range (a band)")
        if self.expected == 0:
            raise ValueError("expected must not be 0: a claim needs a direction")
        if sum(each is not None for each in (self.expected, self.direction, self.range)) > 1:
            raise ValueError("a claim gives one of expected, direction and range")
        if self.tolerance is not None and self.expected is None:
            raise ValueError("tolerance goes with expected")
        if self.in_general and self.range is not None:
            raise ValueError("in_general goes with a difference, not with a range")
        if self.data is not None and self.range is None:
            raise ValueError("data goes with a range")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must be least, greatest; got {self.range[0]}, {self.range[1]}")
        return self

    @property
    def goal(self) -> float | None:
        """What a difference is judged by: the expected one, or 1 or −1 for a direction; None: nothing is judged."""
        if self.direction is not None:
            return 1.0 if self.direction == "higher" else -1.0
        return self.expected


class Experiment(Options):
    """One figure or table.

    Args:
        name: Its name, as the file is called.
        title, about: For readers.
        command: The command that makes its records.
        networks: Networks and groups that it is about.
        after: Experiments of which the run of the same network and seed comes first.
        options: What makes it this experiment; a scale cannot change it.
        schedule: What a scale may change: how long, how many, how fast.
        named: Options that a claim's heading names with their values, because nothing fixes them.
        grid: Options with several values, each combination a run.
        claims: By name.
        of_paper: Whether the paper makes the claims; an experiment of one's own never counts as the paper's.
        when_named: Whether it runs only when it is named, or another one waits for it.
    """

    name: Name = option("", "As the file is called.")
    title: str = option("", "A heading.", min_length=1)
    about: str = option("", "What is done and what the figure says.")
    command: Name = option("", "The command.")
    networks: tuple[Name, ...] = option((), "Networks and groups.", min_length=1)
    after: tuple[Name, ...] = option((), "What runs first.")
    options: dict[str, Value] = option({}, "What makes it this experiment.")
    schedule: dict[str, Value] = option({}, "What a scale may change.")
    named: tuple[Name, ...] = option((), "Options that a claim's heading names.")
    grid: dict[str, Values] = option({}, "Options with several values.")
    claims: dict[str, Claim] = option({}, "Claims by name.")
    of_paper: bool = option(True, "Whether the paper makes the claims.")
    when_named: bool = option(False, "Runs only when it is named.")

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        parts: list[Mapping[str, Any]] = [self.options, self.schedule, self.grid]
        for index, part in enumerate(parts):
            for other in parts[index + 1 :]:
                if twice := sorted(set(part) & set(other)):
                    raise ValueError(f"{twice[0]} stands twice among options, schedule and grid")
        for claim in self.claims.values():
            for where in (claim.where, *(control.where for control in claim.controls.values())):
                for name, value in where.items():
                    if name not in self.grid:
                        raise ValueError(f"where: {name} is not in the grid")
                    if value not in (*self.grid[name], LARGEST, SMALLEST):
                        raise ValueError(f"where: {name} {value} is not in the grid")
        return self
