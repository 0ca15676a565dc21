"""Why a run that ended has no value of a metric that it measures."""

from __future__ import annotations

from autovul.base.report.sections import Network
from autovul.base.result import Result


def why(network: Network, metric: str) -> str:
    """Why some of a network's runs that ended have none, and how many; empty where all have one."""
    lacking = [run.result for run in network.good if _is_empty(run.result, metric)]
    if not lacking:
        return ""
    found = [(each.counts.get("without_adversarial", 0), each.counts.get("images", 0)) for each in lacking]
    why = "not measured"
    if all(missing and images for missing, images in found):
        missing, images = (_span(numbers) for numbers in zip(*found, strict=True))
        why = f"no adversarial example found for {missing} of {images} images: not measured"
    return why if len(lacking) == len(network.good) else f"{why} in {len(lacking)} of {len(network.good)} seeds"


def _is_empty(result: Result, metric: str) -> bool:
    entry = result.metrics.get(metric)
    return entry is not None and entry.value is None


def _span(numbers: tuple[int, ...]) -> str:
    return " to ".join(dict.fromkeys(f"{number:,}" for number in (min(numbers), max(numbers))))
