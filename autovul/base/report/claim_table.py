"""Every claim and every control of it as a line of comma-separated values."""

from __future__ import annotations

from collections.abc import Iterator

from autovul.base.report import claim_words, ranges
from autovul.base.report.claims import Finding
from autovul.base.report.contents import Contents
from autovul.base.report.controlled import Controlled
from autovul.base.report.spreadsheet import Row, table
from autovul.base.statistics import Difference, Interval, Verdict

DIFFERENCE = ("difference", "these_low", "these_high", "general_low", "general_high", "permutation_p")
SHARE = ("share_between_networks", "share_low", "share_high")
COLUMNS = (
    *("experiment", "claim", "control", "dataset", "data_sha256", "conditions", "metric", "unit"),
    *("first", "second", "halves", "first_networks", "second_networks", "first_mean", "second_mean"),
    *DIFFERENCE,
    *("expected", "tolerance", "direction", "size", "survives", "seeds_needed", *SHARE, "inside", "note"),
)


def render(contents: Contents) -> str:
    """The table with its header: a line for the claim itself, then one for each control."""
    return table(COLUMNS, _rows(contents))


def _rows(contents: Contents) -> Iterator[Row]:
    for finding in contents.findings:
        yield {**_shared(finding), **_claim(finding)}
        for each in contents.controls[finding.number]:
            yield {**_shared(finding), **_control(each, finding)}


def _shared(finding: Finding) -> Row:
    claim, section = finding.claim, finding.section
    return {
        "experiment": finding.experiment.name,
        "claim": finding.name,
        "dataset": section.dataset,
        "data_sha256": section.data_sha256,
        "conditions": "; ".join(finding.conditions),
        "first": " ".join(claim.first),
        "second": " ".join(claim.second),
        "halves": claim.halves,
    }


def _claim(finding: Finding) -> Row:
    reading, claim = finding.reading, finding.claim
    return {
        "metric": reading.metric,
        "unit": reading.unit,
        "first_networks": len(reading.first),
        "second_networks": len(reading.second),
        "first_mean": reading.mean(reading.first),
        "second_mean": reading.mean(reading.second),
        **_numbers(reading.difference, finding.verdict),
        "expected": claim.direction or claim.expected,
        "tolerance": claim.tolerance,
        "seeds_needed": finding.seeds_needed,
        **_share(finding.share_between_networks),
        "inside": len(ranges.inside(finding)) if claim.range and ranges.counted(finding) else None,
        "note": claim_words.reasons(finding),
    }


def _control(each: Controlled, finding: Finding) -> Row:
    networks = each.difference.networks if each.difference else (None, None)
    return {
        "control": each.name,
        "metric": each.metric,
        "unit": each.unit,
        "first_networks": networks[0],
        "second_networks": networks[1],
        **_numbers(each.difference, each.verdict),
        "expected": _expected(each, finding),
        "tolerance": each.tolerance,
        "survives": each.survives(finding.verdict),
        "note": each.note,
    }


def _expected(each: Controlled, finding: Finding) -> float | str | None:
    """A control's expected difference, or direction where the claim has no more."""
    if finding.claim.direction is None or each.goal is None:
        return each.goal
    return "higher" if each.goal > 0 else "lower"


def _share(found: Interval | None) -> Row:
    return dict(zip(SHARE, (found.estimate, found.low, found.high), strict=True)) if found else {}


def _numbers(difference: Difference | None, found: Verdict | None) -> Row:
    if difference is None:
        return {}
    judged = {"direction": found.direction, "size": found.size} if found else {}
    return {**difference_cells(difference), **judged}


def difference_cells(difference: Difference) -> Row:
    """A difference under the columns of `DIFFERENCE`."""
    these, general = difference.these_networks, difference.architectures
    ends = [end for each in (these, general) for end in ((each.low, each.high) if each else (None, None))]
    p_value = difference.permutation.p_value if difference.permutation else None
    return dict(zip(DIFFERENCE, (difference.estimate, *ends, p_value), strict=True))
