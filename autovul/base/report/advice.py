"""What to run for a verdict."""

from __future__ import annotations

import re
import shlex

from autovul.base.experiments import Experiment, experiment_names, load_scale, scale_names
from autovul.base.report.belonging import names_of
from autovul.base.report.claims import Finding
from autovul.base.report.settings import weights_suffix
from autovul.base.result import Result


def run_this(finding: Finding) -> str:
    """What to run for a verdict."""
    return f"Run `{command(finding.experiment, scale_of(finding.section.results[0]) + _models(finding))}`."


def _models(finding: Finding) -> str:
    """The flag that lets networks of one's own, which the claim is about, take part; empty where they do anyway."""
    mine = [network for network in (*finding.reading.first, *finding.reading.second) if network.group == "yours"]
    options = [network.runs[0].result.options for network in mine]
    specs = [str(each.get("genotype") or each.get("model") or "YOURS") for each in options]
    if set(specs) <= set(finding.experiment.networks):
        return ""
    named = {"yours"}.union(*map(names_of, mine))
    others = (name for name in (*finding.claim.first, *finding.claim.second) if name not in named)
    return f" --models {shlex.quote(','.join([*others, *specs]))}"


def scale_of(result: Result) -> str:
    """Flags for the package's scale that a record seems to be of, or for the user's own, and for data of one's own."""
    scales = [load_scale(name) for name in scale_names()]
    alike = sorted((s for s in scales if s.suffix == weights_suffix(result)), key=lambda s: s.dataset != result.dataset)
    if not alike:
        return " --scale YOURS.yaml"
    scale = "" if alike[0].name == "paper" else f" --scale {alike[0].name}"
    if alike[0].dataset == result.dataset:
        return scale
    plain = re.fullmatch(r"[\w.][\w.-]*", result.dataset)  # what a shell, and a page's code, take as it stands
    return f"{scale} -d {result.dataset if plain else 'YOURS'}"


def command(experiment: Experiment, flags: str) -> str:
    """The command that makes an experiment's records; ``flags`` as `scale_of` and the like give them."""
    name = experiment.name if experiment.name in experiment_names() else f"{experiment.name}.yaml"
    return f"autovul reproduce {name}{flags} --seeds 3"
