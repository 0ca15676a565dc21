"""Every claim and every control of it as a line of comma-separated values."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from autovul.base.report import claim_words
from autovul.base.report.claims import Finding
from autovul.base.report.controls import Controlled
from autovul.base.report.spreadsheet import cells
from autovul.base.statistics import Difference, Verdict

if TYPE_CHECKING:
    from autovul.base.report.contents import Contents

COLUMNS = (
    *("experiment", "claim", "control", "dataset", "data_sha256", "conditions", "metric", "unit"),
    *("first", "second", "first_networks", "second_networks", "first_mean", "second_mean"),
    *("difference", "these_low", "these_high", "general_low", "general_high", "permutation_p"),
    *("expected", "tolerance", "direction", "size", "survives", "seeds_needed", "inside", "note"),
)


def render(contents: Contents) -> str:
    """The table with its header: a line for the claim itself, then one for each control."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for finding in contents.findings:
        writer.writerow(cells({**_shared(finding), **_claim(finding)}))
        for each in contents.controls[finding.number]:
            writer.writerow(cells({**_shared(finding), **_control(each, finding)}))
    return stream.getvalue()


def _shared(finding: Finding) -> dict[str, object]:
    claim, section = finding.claim, finding.section
    return {
        "experiment": finding.experiment.name,
        "claim": finding.name,
        "dataset": section.dataset,
        "data_sha256": section.data_sha256,
        "conditions": "; ".join(finding.conditions),
        "first": " ".join(claim.first),
        "second": " ".join(claim.second),
    }


def _claim(finding: Finding) -> dict[str, object]:
    reading, claim = finding.reading, finding.claim
    return {
        "metric": reading.metric,
        "unit": reading.unit,
        "first_networks": len(reading.first),
        "second_networks": len(reading.second),
        "first_mean": reading.mean(reading.first),
        "second_mean": reading.mean(reading.second),
        **_numbers(reading.difference, finding.verdict),
        "expected": claim.expected,
        "tolerance": claim.tolerance,
        "seeds_needed": finding.seeds_needed,
        "inside": len(finding.inside) if claim.range else None,
        "note": claim_words.reasons(finding),
    }


def _control(each: Controlled, finding: Finding) -> dict[str, object]:
    networks = each.difference.networks if each.difference else (None, None)
    return {
        "control": each.name,
        "metric": each.metric,
        "unit": each.unit,
        "first_networks": networks[0],
        "second_networks": networks[1],
        **_numbers(each.difference, each.verdict),
        "expected": each.expected,
        "tolerance": each.tolerance,
        "survives": each.survives(finding.verdict),
        "note": each.note,
    }


def _numbers(difference: Difference | None, found: Verdict | None) -> dict[str, object]:
    if difference is None:
        return {}
    these, general = difference.these_networks, difference.architectures
    return {
        "difference": difference.estimate,
        "these_low": these.low if these else None,
        "these_high": these.high if these else None,
        "general_low": general.low if general else None,
        "general_high": general.high if general else None,
        "permutation_p": difference.permutation.p_value if difference.permutation else None,
        "direction": found.direction if found else None,
        "size": found.size if found else None,
    }
