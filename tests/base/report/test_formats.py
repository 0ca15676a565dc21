"""Numbers read as what they are."""

from __future__ import annotations

import pytest

from autovul.base.report import formats
from autovul.base.statistics import Interval

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "unit", "signed", "text"),
    [
        (95.214, "%", False, "95.21"),
        (-0.004, "%", True, "0.00"),
        (0.5, "%", True, "+0.50"),
        (-4.0, "", True, f"{MINUS}4.000"),
        (0.12345, "nats", False, "0.1235"),
        (2210.4, "images/s", False, "2210"),
        (9.9999, "", False, "10.00"),
        (1.5e-7, "", False, "1.500e-07"),
        (0.0, "", False, "0"),
        (None, "%", False, "\N{EN DASH}"),
    ],
)
def test_numbers(value, unit, signed, text):
    assert formats.number(value, unit, signed) == text


def test_large_numbers_lists_and_plurals():
    assert [formats.large_number(n) for n in (950, 25_557, 11_173_962, 5.4e9, None)] == [
        "950",
        "25.6 k",
        "11.2 M",
        "5.4 G",
        "\N{EN DASH}",
    ]
    assert formats.listed("abc") == "a, b and c"
    assert formats.listed("abcdefgh", 3) == "a, b and 6 more"
    assert formats.plural(1, "run") + formats.plural(1200, "run") == "1 run1,200 runs"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-2.5551, -0.87432, "−2.555 to −0.874"),
        (-12.341, 0.0512, "−12.34 to +0.05"),
        (-1121.4, -0.3, "−1121 to −0.3000"),
        (0.0, 0.51234, "0 to +0.5123"),
        (1e-6, 0.5, "+1.000e-06 to +0.5000"),
    ],
)
def test_both_ends_of_an_interval_have_as_many_decimals(low, high, text):
    assert formats.interval_text(Interval(0.0, low, high), "", signed=True) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.004, 0.5, "+0.004 to +0.50"),
        (-0.0005, 0.004, "−0.0005 to +0.004"),
        (-3.0, 0.0, "−3.00 to 0.00"),
    ],
)
def test_an_end_that_is_not_zero_never_reads_as_zero(low, high, text):
    assert formats.interval_text(Interval(0.1, low, high), "%", signed=True) == text
