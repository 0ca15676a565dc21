"""The sentences claim no more than the numbers do."""

from __future__ import annotations

import csv
import io

import pytest

from autovul.base.report import build, catalogue, wording
from autovul.base.result import Metric
from autovul.base.statistics import fixed_networks_interval
from tests.base.report.records import make

OWN, MANUAL = {"bad": 10.0, "good": 60.0}, ("manual0", "manual1")


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
        "Success rate: Searched 61.00 %, Manual 40.00 %. Searched is 21.00 points higher, that is easier to attack."
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
    assert wording.headline(section.headline_comparison, "").endswith(
        "Searched is 4.000 lower, that is easier to attack."
    )
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


def test_each_of_ones_own_networks_is_compared_by_itself_over_its_seeds():
    """A network at chance beside a good one says nothing of the good one."""
    own = [make(name, "yours", seed, value + seed) for name, value in OWN.items() for seed in range(3)]
    results = [*own, *group("manual", [40, 44], 3)]
    report = build(results)
    (section,) = report.sections
    found = {each.own: each for each in section.comparisons if each.metric == section.main}
    assert {name: each.difference.estimate for name, each in found.items()} == pytest.approx(
        {"bad": -31.4, "good": 18.6}
    )
    values = [[r.metrics["success_rate"].value for r in results if r.model.startswith(n)] for n in ("good", *MANUAL)]
    good, *rest = [dict(enumerate(each)) for each in values]
    assert found["good"].difference.these_networks == fixed_networks_interval([good], rest)
    assert wording.headline(found["good"], "%").startswith("Success rate: good 61.00 %, Manual 42.40 %. good is 18.60")
    assert wording.pair_text(found["bad"]) == "bad \N{MINUS SIGN} Manual"
    caveats = " ".join(wording.caveats(found["good"], "%"))
    assert "does not explain" in caveats and "in general" not in caveats
    for text in (report.text(), report.markdown(), report.html()):
        assert "good \N{MINUS SIGN} Manual" in text and "Yours \N{MINUS SIGN}" not in text


def test_ones_own_networks_have_no_mean_in_the_figure():
    results = [make(name, "yours", 1, value) for name, value in OWN.items()]
    page = build([*results, make("resnet18_comp", "manual", 1, 40.0)]).html()
    assert "mean 40.00 %" in page and "mean 35.00 %" not in page


def test_the_table_of_comparisons_names_the_own_network_and_who_is_doubtful():
    doubt = {"environment": {"doubts": ["at chance"]}}
    results = [make("mine", "yours", 1, 50.0, **doubt), make("his", "yours", 1, 51.0), *group("manual", [40, 44])]
    rows = csv.DictReader(io.StringIO(build(results).tables()["comparisons.csv"]))
    found = [row for row in rows if row["metric"] == "success_rate"]
    columns = "first", "own_network", "second", "first_networks", "second_networks", "doubtful"
    assert [[row[name] for name in columns] for row in found] == [
        ["yours", "his", "manual", "1", "2", ""],
        ["yours", "mine", "manual", "1", "2", "mine"],
    ]
