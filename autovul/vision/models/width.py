"""Channel counts under a width multiplier."""

from __future__ import annotations


def scaled(channels: int, width: float, multiple: int = 8) -> int:
    """``channels`` · ``width``, rounded to the nearest positive multiple of ``multiple``."""
    return max(1, round(channels * width / multiple)) * multiple
