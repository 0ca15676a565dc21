"""Relations, costs, contours and ROC curves: the numbers and places are the records'."""

from __future__ import annotations

import pytest
from scipy import stats

from autovul.base.report import build, cells, pictures
from autovul.base.report.costs import costs
from autovul.base.result import Metric
from tests.base.report.records import GENOTYPE, MANUAL, NAS, campaign, make


@pytest.fixture(scope="module")
def report():
    return build(campaign(2, ["fig2", "fig12", "fig16"]))


def related(report, claim):
    (finding,) = [each for each in report.findings if each.name == claim]
    return {each.fact: each for each in report.relations.get(finding.number, [])}


def test_a_relation_is_spearmans_over_networks(report):
    found = related(report, "fig2")
    assert list(found) == ["gradient variance, log10", "depth", "skip connections"]
    (attack,) = [s for s in report.sections if s.experiment == "adv_attack"]
    xs = [network.facts["depth"] for network in attack.networks]
    ys = [network.mean("success_rate") for network in attack.networks]
    assert found["depth"].correlation.estimate == pytest.approx(stats.spearmanr(xs, ys).statistic)
    assert len(found["depth"].points) == 17 and set(found["depth"].within) == {"manual", "nas"}
    assert found["depth"].missing == 0


def test_a_scatter_has_a_legend_of_its_groups(report):
    assert related(report, "fig2")["depth"].figure.groups == ["manual", "nas"]
    html = report.html()
    assert html.count('<span class="groups"') == html.count('<figure class="scatter">') > 3


def test_a_contour_is_read_by_what_the_loss_rises_by():
    values = {"center_loss": 0.1, "mean_loss_change": 0.4, "largest_loss": 2.0}
    metrics = {name: Metric(value, "nats", 100) for name, value in values.items()}
    (section,) = build([r.replace(metrics=metrics) for r in campaign(1, ["loss_contour"])[:1]]).sections
    assert section.metrics == ("mean_loss_change", "largest_loss", "center_loss")


@pytest.mark.parametrize(
    ("slope", "words"),
    [(0.0, "undecided within Manual and Searched"), (9.0, "the two rise together within Manual and Searched")],
)
def test_a_difference_of_the_groups_alone_is_no_relation(slope, words):
    results = []
    for r in campaign(1, ["fig2"]):
        place = [*MANUAL, *NAS].index(r.model)
        turn = (3, 7, 1, 9, 5, 0, 8, 2, 6, 4)[place % 10]  # in no order
        depth = 10 * (r.group == "nas") + (place * 0.1 if slope else turn * 0.1)
        value = 50 + 30 * (r.group == "nas") + (slope * depth if slope else place * 0.1)
        results.append(r.replace(facts={**r.facts, "depth": depth}, metrics={"success_rate": Metric(value, "%", 1000)}))
    found = related(build(results), "fig2")["depth"]
    assert found.correlation.low > 0, "over both groups the two rise together in any case"
    assert f"over 17 networks: {words}." in found.sentence


def test_a_group_too_small_for_a_correlation_does_not_speak():
    results = [
        r.replace(facts={**r.facts, "depth": place}, metrics={"success_rate": Metric(50.0 + place, "%", 1000)})
        for place, r in enumerate(campaign(1, ["fig2"]))
        if r.group == "nas" or r.model in MANUAL[:4]
    ]
    assert "the two rise together within Searched." in related(build(results), "fig2")["depth"].sentence
    down = [
        r.replace(metrics={"success_rate": Metric(50.0 - place, "%", 1000)}) if r.group == "manual" else r
        for place, r in enumerate(
            r.replace(facts={**r.facts, "depth": p}, metrics={"success_rate": Metric(50.0 + p, "%", 1000)})
            for p, r in enumerate(campaign(1, ["fig2"]))
        )
    ]
    apart = "one falls as the other rises within Manual, the two rise together within Searched."
    assert apart in related(build(down), "fig2")["depth"].sentence


def test_a_group_that_says_nothing_is_not_said_to_be_unlike_one_that_does():
    rates = iter([50.0, 54.0, 51.0, 53.0, 52.0])  # of five networks, which are never enough
    results = [
        r.replace(
            facts={**r.facts, "depth": place},
            metrics={"success_rate": Metric(50.0 + place if r.group == "nas" else next(rates), "%", 1000)},
        )
        for place, r in enumerate(campaign(1, ["fig2"]))
        if r.group == "nas" or r.model in MANUAL[:5]
    ]
    found = related(build(results), "fig2")["depth"].sentence
    assert "undecided within Manual, the two rise together within Searched." in found


def test_a_network_of_ones_own_is_drawn_and_in_no_correlation():
    results = [
        r.replace(facts={**r.facts, "depth": place}, metrics={"success_rate": Metric(50.0 + place, "%", 1000)})
        for place, r in enumerate(campaign(1, ["fig2"]))
    ]
    mine = results[0].replace(
        model="mine", group="yours", facts={**results[0].facts, "depth": 99}, metrics={"success_rate": Metric(0.0, "%")}
    )
    without, found = (related(build(each), "fig2")["depth"] for each in (results, [*results, mine]))
    assert found.sentence == without.sentence and found.correlation == without.correlation
    assert [point.network.name for point in found.yours] == ["mine"] and found.points == found.figure.points[:-1]
    assert found.x_axis.high >= 99 > without.x_axis.high


def test_gradient_variance_is_the_one_that_its_claim_reads(report):
    (section,) = [s for s in report.sections if s.setting == {"init": "published", "norm_statistics": "running"}]
    expected = {n.name: n.mean("log10_gradient_variance") for n in section.networks}
    for point in related(report, "fig2")["gradient variance, log10"].points:
        assert point.x == expected[point.network.name]
    assert "gradient variance, log10" not in related(report, "fig12"), "not against itself"


def test_too_few_networks_have_no_relation(report):
    assert related(report, "fig16") == {}


def test_networks_without_the_fact_are_counted():
    results = [r.replace(facts={}) if r.model in ("darts", "enas") else r for r in campaign(1, ["fig2"])]
    assert related(build(results), "fig2")["depth"].missing == 2


def test_a_relation_over_one_group_alone_is_not_told_again_within_it():
    found = related(build([r if r.group == "nas" else r.replace(facts={}) for r in campaign(1, ["fig2"])]), "fig2")
    assert len(found["depth"].points) == 10 and found["depth"].missing == 7
    assert found["depth"].within == {} and "Within groups" not in found["depth"].sentence


def test_points_stand_in_proportion(report):
    found = related(report, "fig2")["depth"]
    for point in found.points:
        assert (point.left, point.top) == (found.x_axis.place(point.x), round(100 - found.y_axis.place(point.y), 2))


def test_costs_are_summed_by_command_and_group():
    runs = [
        make("a", seconds={"total": 10.0}, counts={"queries": 100}, peak_memory=5),
        make("b", seconds={"queries": 4.0, "training": 16.0}, counts={"queries": 300}, peak_memory=9),
        make("c", "manual", seconds={}, counts={}, peak_memory=None, status="failed"),
    ]
    manual, nas = costs(runs)
    assert (nas.runs, nas.seconds, nas.mean_seconds, nas.peak_memory) == (2, 30.0, 15.0, 9)
    assert nas.passes == {"queries": 200.0}
    assert (manual.runs, manual.seconds, manual.peak_memory, manual.passes) == (1, 0.0, None, {})


def contour(rows):
    return make(experiment="loss_contour", algorithm="", series=tuple(rows))


def test_a_contours_shades_cover_the_whole_box_once():
    losses = [[0.1, 0.1, 1.0], [10.0, 10.0, 10.0], [0.1, 3.0, 0.1]]
    rows = [{"alpha": a, "losses": row} for a, row in zip((-1.0, 0.0, 1.0), losses, strict=True)]
    found = pictures.contours(build([contour(rows)]).sections[0])
    assert (found.low, found.high, found.span) == (pytest.approx(0.1), pytest.approx(10), 1)
    rectangles = [part for path, _ in found.pictures[0].shades for part in path.split("M")[1:]]
    assert len(rectangles) == 2 + 1 + 3, "neighbours of one shade are one rectangle"
    area = sum(float(r.split("h")[1].split("v")[0]) for r in rectangles) * 100 / 3
    assert area == pytest.approx(100 * 100, rel=1e-3)
    darkest, opacity = found.pictures[0].shades[-1]
    assert opacity == 1 and darkest.startswith("M0 33.33h100v")
    assert "loss 10 nats in the middle, 0.1 to 10" in found.pictures[0].description


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"alpha": 0.0, "losses": [1.0]}],
        [{"alpha": 0.0, "losses": [1.0]}, {"alpha": 1.0, "losses": [1.0]}],
        [{"alpha": 0.0, "losses": [1.0, 0.0]}, {"alpha": 1.0, "losses": [1.0, 2.0]}],
        [{"alpha": "x", "losses": [1.0, 1.0]}, {"alpha": 1.0, "losses": "ab"}],
        [{"epoch": 1}, {"epoch": 2}],
    ],
)
def test_what_is_no_grid_is_not_drawn(rows):
    assert pictures.contours(build([contour(rows)]).sections[0]) is None


def test_roc_curves_stand_in_proportion_one_a_network_and_method():
    row = {"method": "boundary", "roc": [[0.0, 0.0], [0.25, 0.75], [1.0, 1.0]]}
    runs = [make(name, experiment="membership", series=(row, {**row, "method": "loss"})) for name in ("a", "b")]
    found = pictures.rocs(build(runs).sections[0])
    assert [(roc.method, len(roc.curves)) for roc in found] == [("boundary", 2), ("loss", 2)]
    assert found[0].curves[0].points == "M0 100L25 25L100 0"


@pytest.mark.parametrize("roc", ["x", [], [[0, 0]], [[0, 0], [2, 1]], [[0, 0], ["a", 1]], [[0, 0], [1]]])
def test_what_is_no_curve_is_not_drawn(roc):
    run = make(experiment="membership", series=({"method": "boundary", "roc": roc},))
    assert pictures.rocs(build([run]).sections[0]) == []


def test_the_page_shows_relations_costs_contours_and_curves():
    rows = tuple({"alpha": a, "losses": [1.0, 2.0, 3.0]} for a in (-1.0, 0.0, 1.0))
    curve = ({"method": "boundary", "roc": [[0.0, 0.0], [1.0, 1.0]]},)
    runs = [r.replace(series=rows) for r in campaign(1, ["loss_contour"])]
    runs += [r.replace(series=curve) for r in campaign(1, ["fig10"])]
    page = build(runs).html()
    for heading in ("Loss contours", "ROC curves", "Costs", "What vulnerability goes with"):
        assert heading in page


def cells_of(*genotypes, model="own"):
    records = [make(model, seed=seed, facts={"genotype": g}) for seed, g in enumerate(genotypes, 1)]
    return cells.cells(build(records).sections)


def test_cells_are_drawn_from_the_records():
    (drawn,) = cells_of(GENOTYPE, GENOTYPE)
    normal, reduction = drawn.drawings
    assert [placed.label for placed in normal.graph.operations] == [
        *("sep conv 3×3", "skip", "max pool 3×3", "dil conv 5×5")
    ], "of a node's two operations the upper one has the upper input"
    assert [placed.strided for placed in reduction.graph.operations] == [True, True, False, True]
    assert len(normal.lines) == 4 + 2 + 4 and len(reduction.lines) == 4 + 1 + 4
    assert "node 1 = dil conv 5×5 (c[k-1]) + max pool 3×3 (node 0)" in normal.description


def test_the_page_shows_cells_once_a_network():
    results = [make("own", seed=seed, facts={"genotype": GENOTYPE}) for seed in (1, 2)]
    page = build([*results, make("other")]).html()
    assert page.count('<svg class="cell"') == 2 and page.count('<figure class="cells"') == 1


@pytest.mark.parametrize(
    "change",
    [
        {"normal": None},
        {"normal": []},
        {"normal": [["skip_connect", 0]]},
        {"normal": [["skip_connect", 0], ["skip_connect", 2]], "normal_concat": [2]},
        {"normal": [["skip_connect", 0], ["skip_connect", -1]], "normal_concat": [2]},
        {"normal": [["skip_connect", 0], [3, 1]], "normal_concat": [2]},
        {"normal": [["skip_connect", 0], ["skip_connect", True]], "normal_concat": [2]},
        {"normal": [["skip_connect", 0]] * 2000, "normal_concat": [2]},
        {"reduce_concat": [9]},
        {"reduce_concat": []},
        {"reduce_concat": "all"},
    ],
)
def test_what_is_no_genotype_is_not_drawn(change):
    assert cells_of(GENOTYPE | change) == []
    assert build([make("own", facts={"genotype": GENOTYPE | change})]).html()


@pytest.mark.parametrize("genotype", [None, 3, "darts", [], {}])
def test_what_is_no_mapping_is_not_drawn(genotype):
    assert cells_of(genotype) == []
