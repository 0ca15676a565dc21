"""Where the figures put things."""

from __future__ import annotations

import pytest

from autovul.base.report import build, figures
from autovul.base.statistics import wilson_interval
from tests.base.report.records import make, training


def plot(*results):
    section = build(list(results)).sections[0]
    return figures.dot_plot(section.networks, section.main, section.unit(section.main))


@pytest.mark.parametrize(("low", "high"), [(93.1, 97.4), (0, 100), (5, 5), (0, 0), (-2.3, 0.4), (98.9, 99.0), (1, 1e5)])
def test_an_axis_holds_its_values_and_a_few_round_ticks(low, high):
    axis = figures.nice_axis(low, high)
    assert axis.low < low and axis.high > high
    assert 2 <= len(axis.ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    labels = [axis.label(tick) for tick in axis.ticks]
    assert [float(label.replace(",", "").replace("\N{MINUS SIGN}", "-")) for label in labels] == list(axis.ticks)


def test_an_axis_of_rates_does_not_leave_the_possible():
    axis = figures.nice_axis(2, 99.9, (0, 100))
    assert (axis.low, axis.high) == (0, 100)


def test_two_seeds_far_apart_do_not_take_a_rates_axis_below_zero():
    found = plot(make("a", seed=1, value=1.0), make("a", seed=2, value=9.0), make("b", value=45.0))
    (far,) = [dot.bar for dot in found.blocks[0].dots if not dot.bar.over_images]
    assert found.axis.low == 0 and not far.capped_low
    assert plot(make("a", seed=1, value=95.0), make("a", seed=2, value=99.9)).axis.high == 100
    impossible = plot(make("a", seed=1, value=-3.0), make("a", seed=2, value=2.0))
    assert impossible.axis.low < -3, "what a record holds is shown, whatever it is"


def test_places_are_proportional():
    found = plot(make("a", value=60.0), make("b", value=70.0), make("c", value=80.0))
    places = [dot.place for dot in found.blocks[0].dots]
    assert [dot.network.name for dot in found.blocks[0].dots] == ["c", "b", "a"]
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.02)
    assert found.blocks[0].mean == pytest.approx(places[1], abs=0.01)


def test_rows_do_not_overlap_and_fit():
    found = plot(*(make(f"net{n}", group) for n, group in enumerate(["nas", "manual", "nas", "yours", "manual"])))
    tops = [dot.top for block in found.blocks for dot in block.dots]
    assert min(b - a for a, b in zip(tops, tops[1:], strict=False)) >= figures.ROW
    assert tops[-1] < found.height


def test_rows_with_a_size_below_the_name_have_room_for_it():
    marked = make("b").replace(options={**make().options, "width": 0.5})
    first, second = plot(make("a"), marked).blocks[0].dots
    assert second.top - first.top == figures.MARKED_ROW


def test_one_seed_shows_the_interval_over_images_and_several_the_one_over_seeds():
    found = plot(make("a", value=60.0), make("b", seed=1, value=70.0), make("b", seed=2, value=70.4))
    b, a = found.blocks[0].dots
    expected = wilson_interval(600, 1000)
    assert a.bar.over_images and not a.seeds
    assert (a.bar.low, a.bar.high) == (
        found.axis.place(100 * expected.low),
        found.axis.place(100 * expected.high),
    )
    assert not b.bar.over_images and len(b.seeds) == 2
    assert "interval over images 56.93 to 62.99" in a.text and "over 2 seeds" in b.text


def test_a_huge_interval_does_not_press_the_rest_together_and_has_no_cap():
    found = plot(make("a", seed=1, value=60.0), make("a", seed=2, value=66.0), make("b", seed=1, value=70.0))
    bar = next(dot.bar for dot in found.blocks[0].dots if dot.network.name == "a")
    assert (bar.capped_low, bar.capped_high) == (False, False)
    assert found.has_uncapped
    assert found.axis.high - found.axis.low < 30


def test_a_long_name_keeps_its_ends():
    dot = plot(make("a_network_with_a_very_long_name_v2")).blocks[0].dots[0]
    assert dot.name == "a_network_with_…_name_v2" and len(dot.name) <= figures.MAX_LABEL


def test_long_courses_are_thinned_and_keep_their_ends():
    (section,) = build([training("a", "nas", 1, 95.0, epochs=1000)]).sections
    curves = figures.learning_curves(section)
    training_curve = next(curve for curve in curves.plots[0].curves if curve.kind == "train_accuracy")
    points = training_curve.points.removeprefix("M").split("L")
    assert len(points) <= figures.MAX_POINTS + 1
    assert training_curve.end[0] == 100
    assert curves.x_axis.ticks == (0, 1000)
    assert curves.kinds == ("valid_accuracy", "train_accuracy")


def test_series_without_accuracy_give_no_curves():
    (section,) = build([make(series=({"budget": 1, "loss": 2.0}, {"epoch": True, "valid_accuracy": None}))]).sections
    assert figures.learning_curves(section) is None
