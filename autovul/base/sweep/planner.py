"""From experiments, a scale, networks and seeds to runs, in the order in which they are worth running."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autovul.base.errors import UsageError, nearest
from autovul.base.experiments import Experiment, Scale
from autovul.base.groups import GROUPS
from autovul.base.sweep.order import Network, alternating, is_own
from autovul.base.sweep.plan import FIRST_SEED, Catalogue, Run, Wish
from autovul.base.sweep.scale_check import OF_THE_PLAN, require_known
from autovul.base.sweep.subject import Subject

PUBLISHED = "validate"  # what takes the place of a training where weights are given

Options = Mapping[str, Any]


class Planner:
    """Makes the runs of a wish.

    Args:
        experiments: All there are, by name.
        catalogue: Knows networks and commands.
    """

    def __init__(self, experiments: Mapping[str, Experiment], catalogue: Catalogue) -> None:
        self.experiments, self.catalogue = experiments, catalogue
        self.known = catalogue.known_options()

    def plan(self, wish: Wish) -> list[Run]:
        """The runs, each once, whatever number of experiments needs it.

        The first repetition of everything comes before the second. Within one, networks of the groups take turns, so
        that whatever has been reached is even; within a network, what others wait for comes first.

        Raises:
            UsageError: An unknown command, network or option; an option that no run takes; two trainings of which each
                would overwrite the other's weights; a network that has no run of what must come first.
        """
        self._check_options(wish)
        require_known(wish.scale, self.experiments, self.catalogue, wish.networks)
        asked = wish.experiments or tuple(name for name in self.experiments if name not in self._when_named())
        scaled = {name: wish.scale.apply(self.experiments[name]) for name in self._with_what_comes_first(asked)}
        members = self._members(scaled, asked, wish)
        self._check_what_comes_first(scaled, members)
        order = alternating({each for found in members.values() for each in found}, self._allowed(wish))
        given = self._given_weights(wish, order)
        templates: dict[tuple[Any, ...], tuple[Subject, Any]] = {}
        runs: dict[str, Run] = {}
        for seed in range(FIRST_SEED, FIRST_SEED + (wish.seeds or wish.scale.seeds)):
            for network in order:
                firsts: dict[str, list[str]] = defaultdict(list)
                for name, experiment in scaled.items():
                    if network in members[name]:
                        for run in self._runs(experiment, wish, network, network in given, seed, firsts, templates):
                            firsts[name].append(run.key)
                            known = runs.get(run.key)
                            named = (*known.experiments, name) if known else (name,)
                            runs[run.key] = replace(known or run, experiments=named)
        if not runs:
            hint = "" if wish.experiments else f"; only when named run {', '.join(self._when_named())}"
            raise UsageError(f"nothing to run: none of these networks takes part in these experiments{hint}")
        self._check_use(wish, scaled, order, given)
        _check_weights(runs.values())
        return [*runs.values()]

    def _given_weights(self, wish: Wish, networks: Sequence[Network]) -> set[Network]:
        """The networks that are measured as they are."""
        if wish.published:
            return {*networks}
        names = [name for name, _ in self.catalogue.networks([each for each in wish.given if each not in GROUPS])]
        groups = [each for each in wish.given if each in GROUPS]
        there = {self.catalogue.canonical(name): (name, group) for name, group in networks}
        absent = [name for name in names if self.catalogue.canonical(name) not in there]
        absent += [each for each in groups if each not in {group for _, group in networks}]
        if absent:
            raise UsageError(f"given_weights: {', '.join(absent)} takes no part; --models says which networks do")
        named = {there[self.catalogue.canonical(name)] for name in names}
        return named | {each for each in networks if each[1] in groups}

    def _when_named(self) -> list[str]:
        return [name for name, each in self.experiments.items() if each.when_named]

    def _runs(
        self,
        experiment: Experiment,
        wish: Wish,
        network: Network,
        given: bool,
        seed: int,
        firsts: Mapping[str, Sequence[str]],
        templates: dict[tuple[Any, ...], tuple[Subject, Any]],
    ) -> Iterator[Run]:
        name, group = network
        repetition = "" if given or seed == FIRST_SEED else f"_s{seed}"
        suffix = "" if wish.published else f"{wish.scale.suffix}{repetition}"
        command = PUBLISHED if given and experiment.command == "train" else experiment.command
        after = tuple(key for before in experiment.after for key in firsts.get(before, ()))
        for cell in _cells(self._grid(experiment, wish)):
            flags = tuple(self._flags(self._options(experiment, wish, command, network, cell)))
            argv = (command, *self.catalogue.flags(name), f"--seed={seed}", f"--suffix={suffix}", *flags)
            argv += (f"--config={wish.config_file}",) if wish.config_file else ()
            # For networks of a group that are given the same options, the arguments are read and checked only once.
            template = (command, name if group == "yours" else group, flags)
            if template not in templates:
                templates[template] = self.catalogue.subject(argv)
            subject, settings = templates[template]
            subject = self.catalogue.for_network(subject, name, group, seed, suffix)
            if folder := self._own_folder(subject, cell, given=given):
                argv = (*(word for word in argv if not word.startswith("--attack_dir=")), f"--attack_dir={folder}")
                subject = subject.replace(options={**subject.options, "attack_dir": folder})
            words = [experiment.name, subject.model, f"s{seed}", *(f"{key}={value}" for key, value in cell.items())]
            yield Run(" ".join(words), (), argv, subject, after, settings)

    def _options(
        self, experiment: Experiment, wish: Wish, command: str, network: Network, cell: Options
    ) -> dict[str, Any]:
        schedule = experiment.schedule if command == experiment.command else {}
        algorithm = _algorithm(experiment, wish)
        given = self._given(command, algorithm, wish, network[0])
        of_scale = wish.scale.options.get(command, {})

        def left_out(name: str) -> bool:
            """A scale speaks of all attacks of a command."""
            return name in of_scale and not self._takes(command, algorithm, name)

        options = {
            "dataset": wish.scale.dataset,
            **self._of_scale(wish.scale, *network),
            **{name: value for name, value in schedule.items() if not left_out(name)},
            **experiment.options,
            **cell,
            **{name: value for name, value in given.items() if name not in cell},
        }
        if self._takes(command, algorithm, "resume"):
            options["resume"] = True
        return options

    def _of_scale(self, scale: Scale, network: str, group: str) -> Options:
        has_cells = self.catalogue.takes(network, "layers")
        return scale.network_options(self.catalogue.canonical(network), group, has_cells)

    def _own_folder(self, subject: Subject, cell: Options, *, given: bool) -> str | None:
        """A folder for what a run leaves behind, where it shares network and attack with others.

        Cells of a grid do; and all seeds, where they measure the same given weights.
        """
        parts = [f"{key}_{value}".replace("/", "-") for key, value in cell.items()]
        if subject.seed != FIRST_SEED and given:
            parts.append(f"s{subject.seed}")
        folder = subject.options.get("attack_dir")
        return str(Path(str(folder), "_".join(parts))) if folder and parts else None

    def _given(self, command: str, algorithm: Any, wish: Wish, network: str) -> dict[str, Any]:
        """The user's options that a command and a network take."""
        taken = [name for name in wish.options if self._takes(command, algorithm, name)]
        return {name: wish.options[name] for name in taken if self.catalogue.takes(network, name)}

    def _takes(self, command: str, algorithm: Any, name: str) -> bool:
        """Whether the command, with an algorithm, has an option."""
        return any(each.group != "algorithm" or self._is_of(each, algorithm) for each in self._declared(command, name))

    def _declared(self, command: str, name: str) -> list[Any]:
        if command not in self.known.sections:
            raise UsageError(f"no command {command!r}{nearest(command, self.known.sections)}")
        return self.known.sections[command].get(name, [])

    def _is_of(self, declared: Any, algorithm: Any) -> bool:
        return declared in self.known.sections.get(str(algorithm), {}).get(declared.name, [])

    def _grid(self, experiment: Experiment, wish: Wish) -> dict[str, Sequence[Any]]:
        given = wish.options
        return {name: [given[name]] if name in given else values for name, values in experiment.grid.items()}

    def _flags(self, options: Options) -> Iterator[str]:
        for name, value in options.items():
            if name not in self.known.options:
                raise UsageError(f"{name}: {self.known.explain_unknown(name)}")
            declared = self.known.options[name][0]
            if declared.is_switch:
                yield declared.flags[-1] if value else declared.negation
            else:
                yield f"{declared.flags[-1]}={as_text(value)}"

    def _check_options(self, wish: Wish) -> None:
        for name in wish.options:
            if name == "experiments":
                raise UsageError("--experiments: they are named without a flag, as in `autovul reproduce table1 fig2`")
            if name in OF_THE_PLAN:
                which = "--models says which networks, also by files of cells"
                hint = {"seed": "--seeds says how many"}.get(name, which)
                raise UsageError(f"--{name}: the plan sets it for every run; {hint}")
        for experiment in self.experiments.values():
            if experiment.command not in self.known.sections:
                hint = nearest(experiment.command, self.known.sections)
                raise UsageError(f"{experiment.name}: no command {experiment.command!r}{hint}")

    def _check_use(
        self, wish: Wish, scaled: Mapping[str, Experiment], networks: Sequence[Network], given: Collection[Network]
    ) -> None:
        """Every option that was given is taken by some run."""
        commands = {(each.command, _algorithm(each, wish)) for each in scaled.values()}
        used = {
            name
            for command, algorithm in commands
            for network in networks
            for name in self._given(
                PUBLISHED if command == "train" and network in given else command, algorithm, wish, network[0]
            )
        }
        if unused := [f"--{name}" for name in wish.options if name not in used]:
            raise UsageError(f"{', '.join(unused)}: no run of {', '.join(scaled)} with these networks takes it")

    def _check_what_comes_first(
        self, scaled: Mapping[str, Experiment], members: Mapping[str, Sequence[Network]]
    ) -> None:
        for name, experiment in scaled.items():
            first = [each for before in experiment.after for each in members[before]]
            lacking = [network for network, group in members[name] if (network, group) not in first]
            if experiment.after and lacking:
                raise UsageError(
                    f"{name}: {lacking[0]} takes no part in {' or '.join(experiment.after)}, which comes first"
                )

    def _with_what_comes_first(self, names: Sequence[str]) -> list[str]:
        found: dict[str, None] = {}

        def add(name: str) -> None:
            for before in self.experiments[name].after:
                add(before)
            found.setdefault(name)

        for name in names:
            add(name)
        return [*found]

    def _allowed(self, wish: Wish) -> list[Network] | None:
        """The networks that may take part; None: all. What a scale allows says nothing of the user's own ones."""
        names = wish.networks or wish.scale.networks
        return self.catalogue.networks(names) if names else None

    def _members(self, scaled: Mapping[str, Experiment], asked: Sequence[str], wish: Wish) -> dict[str, list[Network]]:
        """The networks that take part, by experiment; in what only comes first, those of what was asked for.

        Own networks belong to what names them, to what compares groups and was asked for, and to what comes first. A
        group without end, of which an experiment has the first ones, is joined by the others that are named.
        """
        allowed = self._allowed(wish)
        by_name = {self.catalogue.canonical(each[0]): each for each in allowed or ()}
        members: dict[str, list[Network]] = {}
        for name in reversed([*scaled]):  # what waits for others stands behind them
            groups = scaled[name].networks
            named = [by_name.get(self.catalogue.canonical(each[0]), each) for each in self.catalogue.networks(groups)]
            if allowed is not None:
                named = [each for each in named if each in allowed or (is_own(each) and not wish.networks)]
            needed = [each for other, found in members.items() if name in scaled[other].after for each in found]
            others = [*(allowed or ()), *needed] if name in asked else needed
            compares = bool({"manual", "nas", "sampled"} & {*groups})
            joining = [each for each in others if each[1] in groups or (compares and is_own(each))]
            members[name] = [each for each in dict.fromkeys([*named, *joining]) if name in asked or each in needed]
        return members


def _algorithm(experiment: Experiment, wish: Wish) -> Any:
    return wish.options.get("attack", experiment.options.get("attack"))


def _check_weights(runs: Iterable[Run]) -> None:
    trainings: dict[Path, Run] = {}
    for run in runs:
        path = run.subject.weights
        if run.subject.trains and path is not None and (other := trainings.setdefault(path, run)) is not run:
            raise UsageError(f"{other.name} and {run.name} would both write {path}: trainings cannot differ in a plan")


def as_text(value: Any) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(as_text, value))
    return "none" if value is None else str(value)


def _cells(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of a grid's values; one empty one of an empty grid."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))
