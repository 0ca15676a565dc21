"""The sentences claim no more than the numbers do."""

from __future__ import annotations

import pytest

from autovul.base.report import build, wording
from autovul.base.result import Metric
from autovul.base.statistics import Interval
from tests.base.report.records import make

MINUS = "\N{MINUS SIGN}"


def sentences(*results):
    (section,) = build(list(results)).sections
    comparison = section.headline_comparison
    return wording.headline(comparison, "%"), " ".join(wording.caveats(comparison, "%"))


def group(name, values, seeds=1, step=0.4):
    return [
        make(f"{name}{number}", name, seed, value + step * seed)
        for number, value in enumerate(values)
        for seed in range(seeds)
    ]


def test_one_network_each_is_a_comparison_of_two_networks():
    headline, caveats = sentences(make("a", "nas", 1, 61.0), make("b", "manual", 1, 40.0))
    assert headline == (
        "Success rate: NAS 61.00 %, Manual 40.00 %. NAS is 21.00 points higher, that is easier to attack."
    )
    assert "One network of each group: a comparison of two networks, not of groups." in caveats
    assert "too few repetitions" in caveats
    assert "in general" not in caveats


def test_few_seeds_say_something_of_these_networks_and_nothing_in_general():
    _, caveats = sentences(*group("nas", [84], 3), *group("manual", [70, 71], 3))
    assert "chance between seeds does not explain the difference" in caveats
    assert "1 against 2 networks; with one network in a group nothing can be said" in caveats


def test_networks_that_differ_among_themselves_leave_the_general_question_undecided():
    _, caveats = sentences(*group("nas", [95, 60, 75], 3), *group("manual", [70, 85, 50], 3))
    assert "chance between seeds does not explain" in caveats
    assert "3 against 3 networks" in caveats and "undecided: networks of one group differ" in caveats


def test_clear_groups_are_called_clear():
    _, caveats = sentences(*group("nas", [80, 81, 82, 83, 84], 3), *group("manual", [70, 71, 72, 73, 74], 3))
    assert "the groups differ by more than their networks differ among themselves" in caveats


def test_overlapping_seeds_are_undecided():
    _, caveats = sentences(*group("nas", [80], 3, step=9), *group("manual", [79], 3, step=9))
    assert "undecided" in caveats and "does not explain" not in caveats


def test_two_seeds_are_called_few_and_equal_seeds_are_not_called_certain():
    assert "fewer than three seeds" in sentences(*group("nas", [84], 2), *group("manual", [70], 2))[1]
    assert "All seeds gave the same values" in sentences(*group("nas", [84], 3, 0), *group("manual", [70], 3, 0))[1]


def test_lower_may_mean_easier_and_no_difference_is_said():
    metrics = {"mean_iterations": Metric(5.0, "")}
    (section,) = build(
        [make("a", metrics=metrics), make("b", "manual", metrics={"mean_iterations": Metric(9.0)})]
    ).sections
    assert wording.headline(section.headline_comparison, "").endswith("NAS is 4.000 lower, that is easier to attack.")
    assert sentences(make("a"), make("b", "manual"))[0].endswith("no difference.")


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
    assert wording.number(value, unit, signed) == text


def test_large_numbers_lists_and_plurals():
    assert [wording.large_number(n) for n in (950, 25_557, 11_173_962, 5.4e9, None)] == [
        "950",
        "25.6 k",
        "11.2 M",
        "5.4 G",
        "\N{EN DASH}",
    ]
    assert wording.listed("abc") == "a, b and c"
    assert wording.listed("abcdefgh", 3) == "a, b and 6 more"
    assert wording.plural(1, "run") + wording.plural(1200, "run") == "1 run1,200 runs"


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
    assert wording.interval_text(Interval(0.0, low, high), "", signed=True) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.004, 0.5, "+0.004 to +0.50"),
        (-0.0005, 0.004, "−0.0005 to +0.004"),
        (-3.0, 0.0, "−3.00 to 0.00"),
    ],
)
def test_an_end_that_is_not_zero_never_reads_as_zero(low, high, text):
    assert wording.interval_text(Interval(0.1, low, high), "%", signed=True) == text
