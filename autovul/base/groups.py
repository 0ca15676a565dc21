"""The groups of networks that results are compared by, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """How a group is called.

    Attributes:
        title: As a heading.
        word: Within a sentence.
        meaning: What its networks are, in the plural.
    """

    title: str
    word: str
    meaning: str


GROUPS = {
    "manual": Group("Manual", "manual", "networks that people designed (manual)"),
    "nas": Group("Searched", "searched", "networks that neural architecture search designed (searched)"),
    "mitigated": Group("Mitigated", "mitigated", "searched networks changed to be safer (mitigated)"),
    "sampled": Group("Sampled", "sampled", "cells drawn at random from the space of a search (sampled)"),
    "variant": Group("Variants", "variants", "near-doubles of the searched ones (variants)"),
    "yours": Group("Yours", "yours", "your own"),
}
"""By name, as in a record."""
