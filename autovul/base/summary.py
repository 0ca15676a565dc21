"""A result record as a few lines for the person who started the run."""

from __future__ import annotations

from autovul.base.result import Metric, Result

BOLD, PLAIN = "\033[1m", "\033[0m"


def summary(result: Result, *, color: bool = False, verbose: bool = False, algorithm: str = "") -> str:
    """Title, metrics with units and counts, and what it cost.

    Args:
        result: The record.
        color: Whether the title may be set in bold by a terminal's control sequence.
        verbose: Whether options, hashes and versions are shown as well.
        algorithm: What the title says of how the algorithm was set; "" for nothing.
    """
    subject = " ".join(part for part in (result.experiment, result.algorithm) if part)
    title = f"{subject}: {result.model} ({result.group}) on {result.dataset}, seed {result.seed}"
    title += f"; {algorithm}" if algorithm else ""
    lines = [f"{BOLD}{title}{PLAIN}" if color else title]
    if result.status != "ok":
        lines.append(f"  {result.status}: {result.message}")
    lines += [f"  doubtful: {doubt}" for doubt in result.environment.get("doubts", ())]
    lines += [f"  note: {note}" for note in result.environment.get("notes", ())]
    width = max(len(name) for name in ("network", *result.metrics, *result.files))
    for name, metric in result.metrics.items():
        lines.append(f"  {name.replace('_', ' '):<{width}}  {figure(metric)}")
    size = [f"{result.facts[name]:,} {name.replace('_', ' ')}" for name in ("parameters",) if name in result.facts]
    cost = [f"{sum(result.seconds.values()):.1f} s"] if result.seconds else []
    if result.peak_memory:
        cost.append(f"peak memory {result.peak_memory / 2**30:.2f} GiB")
    passes = [f"{count:,} {name.replace('_', ' ')}" for name, count in result.counts.items() if count]
    for role, parts in (("network", size), ("cost", cost), ("counts", passes)):
        if parts:
            lines.append(f"  {role:<{width}}  {', '.join(parts)}")
    lines += [f"  {role:<{width}}  {path}" for role, path in result.files.items()]
    if verbose:
        hashes = {"data SHA-256": result.data_sha256, "weights SHA-256": result.weights_sha256}
        for title, facts in (("hashes", hashes), ("environment", result.environment), ("options", result.options)):
            lines += [f"  {title}:", *(f"    {name} {value}" for name, value in facts.items())]
    return "\n".join(lines)


def figure(metric: Metric) -> str:
    """A metric as text, such as ``97.22 % (n = 360)``."""
    if metric.value is None:
        return "not measured"
    large = abs(metric.value) >= 1000
    value = f"{metric.value:,.0f}" if large else f"{metric.value:.4g}" if metric.unit != "%" else f"{metric.value:.2f}"
    count = f"  (n = {metric.count:,})" if metric.count is not None else ""
    return f"{value} {metric.unit}".rstrip() + count
