"""A claim about halves, read on seeds that had no part in making the halves."""

from __future__ import annotations

from statistics import fmean

from autovul.base.report.claims import Reading
from autovul.base.report.sections import Network
from autovul.base.report.traits import Trainings, halves


def differences(reading: Reading, trait: str, trainings: Trainings) -> list[float]:
    """For each seed the mean of its values in the lower half minus that in the upper one, halves made by all others.

    What a seed's chance gives trait and metric alike is in the claim's own difference, and not in these.

    Args:
        reading: The claim's.
        trait: What its networks are halved by; one of trainings.
        trainings: Give the trait of each run.
    """
    networks = (*reading.first, *reading.second, *reading.between, *reading.unknown)
    found = []
    for seed in sorted({seed for network in networks for seed in network.by_seed(reading.metric)}):

        def of_others(network: Network, seed: int = seed) -> float | None:
            runs = (trainings.of_run(run, trait) for run in network.good if run.result.seed != seed)
            known = [value for value in runs if value is not None]
            return fmean(known) if known else None

        measured = [network for network in networks if seed in network.by_seed(reading.metric)]
        parts = halves(measured, of_others)
        less, more = ([network.by_seed(reading.metric)[seed] for network in parts[half]] for half in ("less", "more"))
        if less and more:
            found.append(fmean(less) - fmean(more))
    return found
