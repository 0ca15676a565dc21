"""Numbers and lists as a reader expects them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from autovul.base.statistics import Interval

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def number(value: float | None, unit: str = "", signed: bool = False) -> str:
    """A value without its unit: two decimals for percent, else four significant digits."""
    if value is None:
        return NONE
    return _with_sign(f"{abs(value):.2f}" if unit == "%" else _significant(abs(value)), value, signed)


def _with_sign(text: str, value: float, signed: bool) -> str:
    zero = not text.strip("0.")
    sign = "" if zero else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    if not 1e-4 <= value < 1e6:
        return f"{value:.3e}"
    rounded = float(f"{value:.3e}")
    return f"{value:.{max(0, 3 - math.floor(math.log10(rounded)))}f}"


def with_unit(value: float | None, unit: str, signed: bool = False) -> str:
    """A value with its unit; a difference of percentages is in points."""
    text = number(value, unit, signed)
    label = "points" if signed and unit == "%" else unit
    return f"{text} {label}" if label and value is not None else text


def interval_text(interval: Interval | None, unit: str, signed: bool = False) -> str:
    """``low to high``, or a dash; with as many decimals at both ends, unless one of them then read as zero."""
    if interval is None:
        return NONE
    ends = interval.low, interval.high
    texts = [number(end, unit, signed) for end in ends]
    if not any("e" in text for text in texts) and all(ends):
        decimals = min(len(text.partition(".")[2]) for text in texts)
        even = [_with_sign(f"{abs(end):.{decimals}f}", end, signed) for end in ends]
        texts = even if not any(map(_is_zero, even)) else texts
    # An end that is not 0 must not read as 0: a verdict hangs on which side of it the end lies.
    exact = [_with_sign(f"{abs(end):.1g}", end, signed) for end in ends]
    return " to ".join(
        shown if end and _is_zero(text) else text for text, shown, end in zip(texts, exact, ends, strict=True)
    )


def _is_zero(text: str) -> bool:
    return not text.strip(f"{MINUS}+0.")


def large_number(value: Any) -> str:
    """A count such as 11.2 M."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NONE if value is None else str(value)
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {letter}"
    return f"{value:g}"


def capital(text: str) -> str:
    """Text as it begins a sentence."""
    return text[:1].upper() + text[1:]


def plural(count: int, noun: str, several: str = "") -> str:
    """``1 network``, ``2 networks``."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def listed(words: Iterable[str], limit: int = 6) -> str:
    """``a, b and c``; a long list is cut."""
    words = list(words)
    if len(words) > limit:
        words = [*words[: limit - 1], f"{len(words) - limit + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def memory(size: int) -> str:
    """An amount of memory."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``41.2 s``, ``12 min``, ``3.4 h``, ``2.1 days``."""
    for size, name in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def p_text(value: float) -> str:
    """A p-value for a table."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
