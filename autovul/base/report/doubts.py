"""Doubts about networks: what a training tells of its weights, and that no control is judged on doubtful networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from autovul.base.report import catalogue, wording
from autovul.base.report.claims import Finding
from autovul.base.report.controlled import Controlled
from autovul.base.report.sections import doubtful
from autovul.base.result import Result


def with_doubts_of_weights(results: Iterable[Result]) -> list[Result]:
    """Records with what the trainings and validations of their weights on the same data leave in doubt, too."""
    results = list(results)
    of_weights: dict[tuple[str, str], list[object]] = {}
    for result in results:
        if result.weights_sha256 and result.experiment in catalogue.OF_WEIGHTS and result.status == "ok":
            of_weights.setdefault((result.weights_sha256, result.data_sha256), []).extend(_doubts(result))
    return [_with(result, of_weights.get((result.weights_sha256, result.data_sha256), [])) for result in results]


def _doubts(result: Result) -> Sequence[object]:
    found = result.environment.get("doubts")
    return found if isinstance(found, list | tuple) else []


def _with(result: Result, doubts: Sequence[object]) -> Result:
    if more := [doubt for doubt in doubts if doubt not in _doubts(result)]:
        found = [*_doubts(result), *dict.fromkeys(more)]
        return result.replace(environment={**result.environment, "doubts": found})
    return result


def judged(found: Sequence[Controlled], finding: Finding) -> list[Controlled]:
    """A claim's controls; those on doubtful networks, variants among them, without a verdict."""
    return [_judged(each, finding) for each in found]


def _judged(control: Controlled, finding: Finding) -> Controlled:
    held = (*control.covariate.first, *control.covariate.second) if control.covariate else ()
    doubts = dict.fromkeys((*finding.doubtful, *doubtful(control.metric, (network for network, _ in held))))
    if not doubts or control.difference is None:
        return control
    note = f"{wording.not_judged(list(doubts)).capitalize()}. {control.note}".rstrip()
    return dataclasses.replace(control, judged=False, note=note)
