"""Figures as files: each says by itself what it shows, in which unit, and what its lines stand for."""

from __future__ import annotations

import dataclasses

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autovul.base.report import build
from tests.base.report.records import campaign


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The figures of figure 2, of searched networks with one seed and manual ones with two, by name."""
    records = [r for r in campaign(2, ["fig2", "table1"]) if r.group == "manual" or r.seed == 1228]
    for index, record in enumerate(records):
        if record.model == "vgg13_bn_comp" and "success_rate" in record.metrics:
            far = dataclasses.replace(record.metrics["success_rate"], value=90.0 if record.seed == 1228 else 60.0)
            records[index] = record.replace(metrics={**record.metrics, "success_rate": far})
    figures = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, file, **options: figures.append(figure))
        paths = build(records).write_figures(tmp_path_factory.mktemp("figures"), "png")
    for figure in figures:
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
    return {path.stem.partition("_")[2]: figure for path, figure in zip(paths, figures, strict=True)}


def key(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def titles(figure):
    return figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()


def test_networks_tell_intervals_over_seeds_from_those_over_images(drawn):
    figure = drawn["fig2_networks"]
    assert titles(figure) == ("Success rate, %", "")
    assert key(figure) == [
        "mean of the group's networks",
        "95 % interval over seeds (Student's t)",
        "a single seed",
        "one seed: 95 % interval over images only",
        "the interval goes on beyond the axis",
    ]
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks[-1] == "100"


def test_what_no_line_needs_stands_in_no_legend(drawn):
    losses = key(drawn["trained-faster_networks"])
    assert "a single seed" in losses and not {"one seed: 95 % interval over images only", "what is claimed"} & {*losses}
    assert "what is claimed" in key(drawn["table1_networks"]) + key(drawn["fig2_difference"])


def test_axes_have_their_units(drawn):
    assert titles(drawn["fig2_difference"]) == ("Difference in success rate, points", "")
    assert titles(drawn["fig2_equal-clean-accuracy"]) == ("Clean accuracy, %", "Success rate, %")
    assert titles(drawn["fig2_against-early-training-loss"]) == ("Early training loss, nats", "Success rate, %")
    assert titles(drawn["fig2_against-depth"]) == ("Depth", "Success rate, %")


def test_a_scatter_tells_groups_lines_and_what_was_found(drawn):
    line, relation = drawn["fig2_equal-clean-accuracy"], drawn["fig2_against-depth"]
    assert {"Searched", "Manual", "Searched, line through the networks", "Manual, line through the networks"} == {
        *key(line)
    }
    assert "is how far the two lines are apart" in line.axes[0].get_title(loc="left").replace("\n", " ")
    assert {*key(relation)} == {"Searched", "Manual"}
    assert "Rank correlation" in relation.axes[0].get_title(loc="left")


def test_nothing_runs_off_or_leaves_a_gap(drawn):
    for name, figure in drawn.items():
        (legend,), (axes,) = figure.legends, figure.axes
        renderer, (width, height) = figure.canvas.get_renderer(), figure.bbox.size
        boxes = [*(text.get_window_extent(renderer) for text in legend.get_texts()), axes.title.get_window_extent()]
        boxes.append(axes._left_title.get_window_extent(renderer))
        assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes), name
        gap = axes.xaxis.label.get_window_extent(renderer).y0 - legend.get_window_extent(renderer).y1
        assert 0 <= gap < 0.2 * figure.dpi, name
