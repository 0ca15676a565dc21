"""What there are no records of: claims, and networks that claims are about."""

from __future__ import annotations

from autovul.base.report import advice, claim_words, formats
from autovul.base.report.contents import Contents
from autovul.base.report.side_names import side


def open_claims(contents: Contents) -> dict[str, str]:
    """Claims of which a side has no record: the name, and the claim in a sentence.

    Those of experiments that run only when they are named are not missed.
    """
    there = {finding.name for finding in contents.findings}
    return {
        name: claim_words.says(experiment, claim)
        for experiment in contents.experiments.values()
        for name, claim in experiment.claims.items()
        if name not in there and not experiment.when_named
    }


def run_for_open(contents: Contents) -> str:
    """What to run for all of them, in a sentence; empty where the records do not tell it."""
    missing = open_claims(contents)
    experiments = [each for each in contents.experiments.values() if {*each.claims} & {*missing}]
    command = advice.run_all(experiments, contents)
    return f"Run `{command}`." if missing and command else ""


def not_measured(contents: Contents) -> str:
    """The claims without records in a line; empty where there are none."""
    missing = open_claims(contents)
    return f"Not measured: {formats.listed(missing, 99)}. {run_for_open(contents)}".rstrip() if missing else ""


def measured(contents: Contents) -> str:
    """Which of the networks that claims are about have records at all; empty where all have.

    Said once: a claim names only those that it lacks and others have.
    """
    claims = [finding.claim for finding in contents.findings]
    named = {name for claim in claims for name in (*claim.first, *claim.second)}
    groups = [(group, contents.groups[group], contents.measured[group]) for group in contents.groups if group in named]
    groups = [(group, all_, there) for group, all_, there in groups if len(there) < len(all_)]
    if not groups:
        return ""
    shares = formats.listed(f"{len(there)} of {len(all_)} {side([group])}" for group, all_, there in groups)
    lacking = [name for _, all_, there in groups for name in all_ if name not in there]
    return (
        f"{shares} networks were measured, and verdicts are about these. Without records: {formats.listed(lacking, 8)}."
    )
