"""What the two sides of a claim are called."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.experiments import Claim
from autovul.base.groups import GROUPS
from autovul.base.report import catalogue, formats
from autovul.base.report.claims import Reading


def side(names: Sequence[str]) -> str:
    """Networks and groups by name, as a side of a claim: groups by their word, networks by their name."""
    return formats.listed([GROUPS[name].word if name in GROUPS else name for name in names], 4)


def side_names(claim: Claim) -> tuple[str, str]:
    """The first side and the second; the second is empty where a claim has one only."""
    if claim.halves is None:
        return side(claim.first), side(claim.second) if claim.second else ""
    less, more = (f"{side(claim.first)} ({half})" for half in catalogue.TRAITS[claim.halves].halves)
    return less, more


def outside(claim: Claim, reading: Reading) -> str:
    """Which networks are in neither half, and why; empty where all are in one."""
    if claim.halves is None:
        return ""
    trait = catalogue.TRAITS[claim.halves].title
    reasons = ((f"at the median of {trait}", reading.between), (f"{trait} not known", reading.unknown))
    parts = [f"{formats.listed([n.label for n in networks], 8)} ({why})" for why, networks in reasons if networks]
    return f"In neither half: {'; '.join(parts)}." if parts else ""
