"""What to run for a verdict, and for the claims without records: a command that keeps the options that runs had."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autovul.base.experiments import Experiment, Scale, experiment_names, load_scale, scale_names
from autovul.base.options import OptionError
from autovul.base.report import catalogue, ranges
from autovul.base.report.belonging import option, same
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.sections import OWN
from autovul.base.report.settings import network_name, option_text, size_marks, weights_suffix
from autovul.base.result import BOOKKEEPING, Result

# Options of every run of a sweep, with their defaults.
PLACES = {
    "data_path": None,
    "data_dir": "./data/data",
    "num_classes": None,
    "image_size": 32,
    "grey": False,
    "model_dir": "./data/model",
    "result_dir": "./data/result",
}
UNKNOWN = object()
IN_WORDS = "More seeds of these runs, with the options that they had, give a verdict."


def run_this(finding: Finding, contents: Contents) -> str:
    """What to run for a verdict, in a sentence; empty where there is one, or where more runs would not give it."""
    if not _lacks_runs(finding):
        return ""
    section = finding.section
    example = section.networks[0].runs[0].result
    stand = {network.key for network in section.networks}
    runs = [
        result
        for result in contents.results
        if _kind(result) == _kind(example)
        and (result.group, network_name(result), size_marks(result)) in stand
        and result.data_sha256 == section.data_sha256
    ]
    found = command([finding.experiment], runs or section.results, contents)
    return f"Run `{found}`." if found else IN_WORDS


def _lacks_runs(finding: Finding) -> bool:
    reading = finding.reading
    if finding.doubtful:
        return False  # doubts are none of chance
    if finding.claim.range is not None:
        return reading.seeds[0] < 2 and bool(ranges.counted(finding) or not reading.first)
    if reading.difference is None:
        return not reading.between or bool(reading.unknown)  # networks all alike in a trait are so with more runs, too
    return reading.difference.these_networks is None and not finding.claim.in_general


def run_all(experiments: Sequence[Experiment], contents: Contents) -> str:
    """The command that makes the experiments' records as most others were made; empty where these do not tell it."""
    kinds = Counter(map(_kind, contents.results))
    usual = max(kinds, key=kinds.__getitem__, default=None)
    return command(experiments, [result for result in contents.results if _kind(result) == usual], contents)


def _kind(result: Result) -> tuple[str, str]:
    return weights_suffix(result), result.dataset


def command(experiments: Sequence[Experiment], runs: Sequence[Result], contents: Contents) -> str:
    """The command that makes the experiments' records; empty where options of the runs cannot be said by flags.

    Args:
        experiments: One or more.
        runs: Their scale, data, options of schedule and size, and networks are kept.
        contents: Knows the other experiments, and the groups' networks.
    """
    runs = [result for result in runs if result.status != "failed"] or list(runs)  # these may lack options
    names = (each.name if each.name in experiment_names() else f"{each.name}.yaml" for each in experiments)
    words = ["autovul", "reproduce", *names]
    if runs:
        scale = scale_of(runs[0])
        options, models = _options(experiments, runs, scale, contents), _models(experiments, runs, scale, contents)
        if options is None or models is None:
            return ""
        words += ["--scale", scale.name if scale else "YOURS.yaml"] if scale is None or scale.name != "paper" else []
        words += ["-d", runs[0].dataset] if scale and scale.dataset != runs[0].dataset else []
        words += [*options, *(["--models", ",".join(models)] if models else [])]
    found = shlex.join([*words, "--seeds", "3"])
    return found if found.isprintable() and "`" not in found else ""


def scale_of(result: Result) -> Scale | None:
    """The package's scale that a record seems to be of, by the suffix of its weights; None for a user's own."""
    scales = [load_scale(name) for name in scale_names()]
    alike = [scale for scale in scales if scale.suffix == weights_suffix(result)]
    return min(alike, key=lambda scale: scale.dataset != result.dataset, default=None)


def _options(
    experiments: Sequence[Experiment], runs: Iterable[Result], scale: Scale | None, contents: Contents
) -> list[str] | None:
    """Flags for options with another value than planned; None where runs differ in one."""
    first = {name: contents.experiments.get(name) for each in experiments for name in each.after}
    involved = [*experiments, *(each for each in first.values() if each)]
    try:
        scaled = [scale.apply(each) for each in involved] if scale else []
    except OptionError:
        return None
    values: dict[str, dict[str, Any]] = {}
    otherwise = set()
    for result in runs:
        for name, planned in _plan(result, scale, scaled).items():
            recorded = result.options.get(name)
            if recorded is not None and (name in PLACES or name not in BOOKKEEPING):
                values.setdefault(name, {})[option_text(recorded)] = recorded
                if not same(recorded, planned) and option_text(recorded) != option_text(planned):
                    otherwise.add(name)
    if any(len(values[name]) > 1 for name in otherwise):
        return None
    return [word for name in values if name in otherwise for word in _flag(name, *values[name].values())]


def _plan(result: Result, scale: Scale | None, experiments: Iterable[Experiment]) -> Mapping[str, Any]:
    """What the options of a run would be without a flag, as far as experiments and scale say."""
    if scale is None:
        return PLACES
    alike = [
        each
        for each in experiments
        if each.command == result.experiment and all(same(option(result, n), v) for n, v in each.options.items())
    ]
    of_network = scale.network_options(network_name(result), result.group, "genotype" in result.facts)
    plan: dict[str, Any] = {**PLACES, **catalogue.SHAPE, **of_network}
    # What nothing fixes has a default that is not known here: it is said.
    for each in alike:
        plan |= {**dict.fromkeys(each.named, UNKNOWN), **each.schedule}
    return plan


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no_{name}"]
    return [f"--{name}", ",".join(map(option_text, value)) if isinstance(value, list | tuple) else option_text(value)]


def _models(
    experiments: Sequence[Experiment], runs: Iterable[Result], scale: Scale | None, contents: Contents
) -> list[str] | None:
    """What ``--models`` names; empty where the experiments' own networks ran, None where one cannot be named."""
    specs: dict[tuple[str, str], str | None] = {(r.group, network_name(r)): _spec(r) for r in runs}
    wanted = list(dict.fromkeys(name for each in experiments for name in each.networks))
    mine = [spec for (group, _), spec in specs.items() if group == OWN and spec not in wanted]
    others = {name: spec for (group, name), spec in specs.items() if group != OWN}
    chosen = scale.networks if scale else ()
    full = {member: name for name in wanted for member in contents.groups.get(name, (name,))}
    planned = {member for member, name in full.items() if not chosen or {member, name} & {*chosen}}
    complete = planned == {*full} & {*others} or not contents.groups
    if complete and not mine:
        return []
    there = {*others, *(group for group, _ in specs), *specs.values()}
    lacking = [name for name in wanted if name not in there]
    named = wanted if complete and not chosen else [*others.values(), *lacking]
    found = list(dict.fromkeys([*named, *mine]))
    return None if None in found else [spec for spec in found if spec]


def _spec(result: Result) -> str | None:
    """What names a network on the command line; None for one of the user's own whose record does not tell it."""
    options = result.options
    spec = options.get("genotype") or options.get("model_arch") or options.get("model")
    return str(spec) if spec else None if result.group == OWN else network_name(result)
