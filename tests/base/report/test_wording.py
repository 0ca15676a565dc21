"""The sentences claim no more than the numbers do."""

from __future__ import annotations

import pytest

from autovul.base.report import build, catalogue, wording
from autovul.base.result import Metric
from tests.base.report.records import make


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
    ("name", "title"),
    [
        ("accuracy_drop_40pct", "Accuracy drop at 40 %"),
        ("accuracy_drop_2_5pct", "Accuracy drop at 2.5 %"),
        ("cross_entropy_12000_queries", "Cross entropy with 12,000 queries"),
    ],
)
def test_numbers_in_a_metrics_name_stand_in_its_title(name, title):
    assert catalogue.metric_info(name).title == title


def test_a_rate_at_some_share_is_a_rate():
    info = catalogue.metric_info("success_rate_12_5pct")
    assert (info.rate, info.easier) == (True, 1)
