"""The order in which networks take their turns."""

from __future__ import annotations

from collections.abc import Sequence

from autovul.base.groups import GROUPS

Network = tuple[str, str]
"""What `Catalogue.networks` calls it, and its group."""


def is_own(network: Network) -> bool:
    return network[1] == "yours"


def alternating(networks: set[Network], allowed: Sequence[Network] | None) -> list[Network]:
    """Networks of the groups in turns, evenly: 7 manual and 10 searched ones end together."""
    ordered = [each for each in dict.fromkeys([*(allowed or ()), *sorted(networks)]) if each in networks]
    by_group = [[each for each in ordered if each[1] == group] for group in GROUPS]
    ranked = [
        ((index + 1) / len(members), rank, each)
        for rank, members in enumerate(by_group)
        for index, each in enumerate(members)
    ]
    return [each for *_, each in sorted(ranked, key=lambda item: item[:2])]
