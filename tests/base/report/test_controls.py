"""Controls of a verdict: each finds a difference that was put there, and says so where it cannot."""

from __future__ import annotations

import itertools

import pytest

from autovul.base.report import build, claim_words, controls, formats, held_equal
from autovul.base.report.controlled import Controlled
from autovul.base.report.line_figure import line_figure
from autovul.base.result import Metric
from autovul.base.statistics import Difference, Interval, Verdict
from tests.base.report.records import MANUAL, campaign, make


def control(report, claim, name):
    (finding,) = [each for each in report.findings if each.name == claim]
    (found,) = [each for each in report.controls[finding.number] if each.name == name]
    return finding, found


def study(
    rate,
    accuracy=lambda group, number: 90.0,
    size=lambda group, number: 10**6 * (number + 1),
    seeds=2,
    names=lambda group, number: f"{group}{number}",
):
    """Attack and training records of five networks a group."""
    options = campaign(1, ["fig2"])[0].options
    results = []
    for group in ("nas", "manual"):
        for number in range(5):
            for seed in range(seeds):
                name, sha = names(group, number), f"{group}{number}{seed}".ljust(64, "0")
                facts = {"parameters": size(group, number)}
                clean = accuracy(group, number)
                value = rate(group, number, clean) + 0.2 * (seed - (seeds - 1) / 2)
                attack = {**options, "suffix": f"_s{seed}", "seed": seed}
                kept = {"weights_sha256": sha, "facts": facts}
                results.append(make(name, group, seed, value, options=attack, **kept).replace(model=name))
                trained = {"valid_accuracy": Metric(clean, "%", 1000)}
                results.append(
                    make(name, group, seed, experiment="train", algorithm="", metrics=trained, options={}, **kept)
                )
    return results


def off(number):
    """How far a network lies off the line through its group, the same in both and unlike the line's slope."""
    return (1.0, -1.0, 0.0, -1.0, 1.0)[number]


def test_networks_far_off_the_line_leave_equal_accuracy_undecided():
    rate = {"nas": (70, 60, 75, 55, 68), "manual": (50, 62, 40, 66, 52)}
    report = build(study(lambda g, n, clean: rate[g][n], lambda g, n: 90 + n + 2 * (g == "nas")))
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert finding.verdict.direction == "holds"
    assert found.difference.these_networks.low > 0, "seeds alone would decide it"
    assert found.difference.architectures.low < 0 and found.survives(finding.verdict) == "undecided"
    assert found.interval == found.difference.architectures and "Judged by the wider interval." in found.note
    these = formats.interval_text(found.difference.these_networks, "%", signed=True)
    assert these in report.html()


def test_a_line_is_known_no_better_than_its_networks_are_measured():
    jitter = itertools.cycle([-30.0, 30.0])
    report = build(study(lambda g, n, clean: 50 + 12 * (g == "nas") + next(jitter), lambda g, n: 90 + n))
    _, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    these, general = found.difference.these_networks, found.difference.architectures
    assert general.low > 0 > these.low, "the means happen to lie on the line"
    assert found.interval == these and found.verdict.direction == "undecided"


def test_with_one_seed_a_line_is_drawn_and_not_judged():
    report = build(study(lambda g, n, clean: 60 + 10 * (g == "nas") + off(n), lambda g, n: 90 + n, seeds=1))
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert finding.verdict is None and found.verdict is None
    assert found.difference.architectures.low > 0 and found.interval == found.difference.architectures
    assert claim_words.survival(found, finding) == formats.NONE


def test_four_networks_draw_no_line():
    results = [r for r in study(lambda g, n, clean: 60 + 10 * (g == "nas"), lambda g, n: 90 + n) if r.model[-1] in "01"]
    _, found = control(build(results), "fig2", held_equal.CLEAN_ACCURACY)
    assert found.difference is None and "6 networks are the fewest that a line is drawn through" in found.note


def test_a_control_of_other_networks_says_so():
    results = campaign(2, ["fig12"])
    some = [r for r in results if r.options["init"] == "published" or r.model != "darts"]
    _, found = control(build(some), "fig12", "He's initialisation for all")
    assert found.note == "Of 16 networks, the claim of 17; 16 of them the same."
    fewer = [r for r in results if r.options["init"] != "published" or r.model != "darts"]
    _, found = control(build(fewer), "fig12", "He's initialisation for all")
    assert found.note == "Of 17 networks, the claim of 16; 16 of them the same."


def test_a_control_whose_own_sides_are_unlike_is_not_judged():
    some = MANUAL[:3]  # a minority of the claim's manual networks, and all of the control's
    results = [
        r.replace(options={**r.options, "sample_num": 64 if r.model in some else 512})
        for r in campaign(2, ["fig12"])
        if r.options["init"] == "published" or r.group == "nas" or r.model in some
    ]
    finding, found = control(build(results), "fig12", "He's initialisation for all")
    assert finding.verdict is not None and found.difference is not None
    assert found.verdict is None and found.note.startswith("No verdict: the sides differ in sample_num.")


def test_seeds_that_share_weights_in_part_are_said():
    results = [r.replace(weights_sha256=(r.model + str(r.seed % 2)).ljust(64, "0")) for r in campaign(4, ["fig2"])]
    _, found = control(build(results), "fig2", controls.TRAINING)
    assert "Seeds share weights (all networks)" in found.note


def test_a_difference_that_is_all_clean_accuracy_does_not_survive():
    report = build(study(lambda g, n, clean: 3 * (clean - 80) + off(n), lambda g, n: 90 + n + 2 * (g == "nas")))
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert finding.verdict.direction == "holds" and finding.reading.difference.estimate == pytest.approx(6)
    assert found.difference.estimate == pytest.approx(0, abs=1e-9)
    assert found.survives(finding.verdict) == "undecided"
    assert claim_words.survival(found, finding) == "no longer decided"


def test_a_difference_beside_clean_accuracy_survives():
    report = build(study(lambda g, n, clean: 60 + 10 * (g == "nas") + off(n), lambda g, n: 90 + n + 2 * (g == "nas")))
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert found.difference.estimate == pytest.approx(10) and found.survives(finding.verdict) == "yes"


def test_clean_accuracy_that_does_not_overlap_is_inseparable():
    report = build(study(lambda g, n, clean: 60 + 10 * (g == "nas"), lambda g, n: 80 + n + 9 * (g == "nas")))
    _, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert (
        found.difference is None
        and "Inseparable. The clean accuracy is 89.0 % to 93.0 % against 80.0 % to 84.0 %" in found.note
    )


def test_without_training_records_equal_accuracy_is_not_known():
    finding, found = control(build(campaign(2, ["fig2"])), "fig2", held_equal.CLEAN_ACCURACY)
    assert "No train or validate records" in found.note and found.survives(finding.verdict) == "not known"


def test_published_sizes_are_inseparable_and_variants_separate_them():
    results = campaign(2, ["fig2"])
    _, found = control(build(results), "fig2", held_equal.SIZE)
    assert found.difference is None and "Inseparable" in found.note and "Variants of other width" in found.note
    narrow = [
        r.replace(options={**r.options, "width": 0.25}, facts={**r.facts, "parameters": r.facts["parameters"] // 16})
        for r in results
        if r.group == "manual"
    ]
    report = build(results + narrow)
    found = [each for controlled in report.controls.values() for each in controlled if each.name == held_equal.SIZE]
    assert any(each.difference is not None for each in found)


def enlarged(results, group="manual"):
    """Variants of a group's networks, twice as wide."""
    found = [r for r in results if r.group == group]
    return [r.replace(options={**r.options, "width": 2}, weights_sha256=r.weights_sha256[::-1]) for r in found]


def test_variants_that_learn_more_separate_clean_accuracies():
    """Networks of a side alone do not overlap; manual ones in a larger size do, and all follow one line."""

    def rate(group, number, clean):
        return 2 * (clean - 60) + 5 * (group == "nas") + off(number)

    own = study(rate, lambda group, number: 80 + number + 9 * (group == "nas"))
    _, found = control(build(own), "fig2", held_equal.CLEAN_ACCURACY)
    assert found.difference is None and "Variants of other width or init_channels" in found.note
    wider = study(rate, lambda group, number: 90 + number)
    report = build([*own, *enlarged(wider)])
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)  # one: variants alone make no claim
    assert found.difference.estimate == pytest.approx(5) and found.difference.networks == (5, 5)
    assert found.survives(finding.verdict) == "yes"
    assert "80.0 % to 94.0 %" in found.note and "With 5 variants of other size; each network counts once." in found.note
    assert report.html().count("With 5 variants") >= 1


@pytest.mark.parametrize("changed", ["option", "data", "algorithm"])
def test_variants_that_were_measured_otherwise_are_not_in_the_line(changed):
    own = study(lambda g, n, clean: 60 + off(n), lambda g, n: 80 + n + 9 * (g == "nas"))
    other = enlarged(study(lambda g, n, clean: 20 + off(n), lambda g, n: 90 + n))
    attacks = [r for r in other if r.experiment == "adv_attack"]
    rest = [r for r in other if r.experiment != "adv_attack"]
    if changed == "option":
        # A network that ran in both ways makes it a setting of its own.
        again = own[0].replace(options={**own[0].options, "precision": "bf16"})
        attacks = [again, *(r.replace(options={**r.options, "precision": "bf16"}) for r in attacks)]
        own = [r.replace(options={**r.options, "precision": "fp32"}) for r in own]
    elif changed == "data":
        attacks = [r.replace(data_sha256="d" * 64) for r in attacks]
    else:
        attacks = [r.replace(algorithm="fmn") for r in attacks]
    report = build([*own, *attacks, *rest])
    finding = max((f for f in report.findings if f.name == "fig2"), key=lambda f: len(f.reading.networks))
    assert (len(finding.reading.first), len(finding.reading.second)) == (5, 5)
    (found,) = [each for each in report.controls[finding.number] if each.name == held_equal.CLEAN_ACCURACY]
    assert len(found.covariate.second) == 5 and "variant" not in found.note.split("Variants")[0]


def test_controls_of_other_grid_values_are_found_where_one_value_has_variants():
    results = [r.replace(options={**r.options, "init_channels": 4}) for r in campaign(2, ["sampled_variance"])]
    variant = [
        r.replace(options={**r.options, "init_channels": 8})
        for r in results
        if r.model.startswith("darts") and r.options["norm_statistics"] == "running"
    ]
    assert variant
    _, alone = control(build(results), "searched_vary_less", "norm statistics estimated first")
    _, found = control(build([*results, *variant]), "searched_vary_less", "norm statistics estimated first")
    assert found.difference == alone.difference is not None


def test_networks_of_one_name_in_two_groups_are_two():
    report = build(study(lambda g, n, clean: 60 + off(n), lambda g, n: 90 + n, names=lambda g, n: f"net{n}"))
    _, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert found.difference.networks == (5, 5) and "variant" not in found.note


def test_variants_of_unknown_accuracy_are_left_out_and_counted():
    own = study(lambda g, n, clean: 60 + off(n), lambda g, n: 90 + n)
    unknown = [r for r in enlarged(own) if r.experiment == "adv_attack"]
    _, found = control(build([*own, *unknown]), "fig2", held_equal.CLEAN_ACCURACY)
    assert len(found.covariate.second) == 5
    assert found.note.endswith("5 networks or variants of unknown clean accuracy left out.")


def test_variants_of_both_sides_make_a_claim_and_of_one_side_none():
    own = study(lambda g, n, clean: 60 + 10 * (g == "nas") + off(n), lambda g, n: 90 + n)
    both = [*own, *enlarged(own), *enlarged(own, "nas")]
    assert len([f for f in build(both).findings if f.name == "fig2"]) == 2
    report = build([*own, *enlarged(own)])
    assert len([f for f in report.findings if f.name == "fig2"]) == 1
    assert len([f for f in report.findings if f.name == "table1"]) == 1, "nor one about a range"


def test_the_figure_of_equal_accuracy_draws_every_network_and_the_lines_between():
    report = build(study(lambda g, n, clean: 60 + 2 * clean + 10 * (g == "nas"), lambda g, n: 90 + n + (g == "nas")))
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    figure = line_figure(finding, found)
    assert figure.title == "Success rate, % against clean accuracy, %" and len(figure.points) == 10
    fits = {segment.group: segment for segment in figure.segments if segment.is_fit}
    assert len(fits) == len(figure.segments) == 2, "no network has a variant"
    for group, fit in fits.items():
        own = sorted((point.left, point.top) for point in figure.points if point.network.group == group)
        assert (fit.start, fit.end) == (pytest.approx(own[0], abs=0.02), pytest.approx(own[-1], abs=0.02))
    assert "+10.00 points, is how far the two lines are apart." in figure.sentence
    assert "Hollow" not in figure.sentence
    assert report.html().count('class="fit') == 4, "of equal size as well"


def test_the_figure_joins_networks_with_their_variants_and_draws_no_line_where_there_is_none():
    own = study(lambda g, n, clean: 60 + off(n), lambda g, n: 80 + n + 9 * (g == "nas"))
    wider = study(lambda g, n, clean: 70 + off(n), lambda g, n: 83 + n)
    report = build([*own, *enlarged(wider)])
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)  # one: variants alone make no claim
    figure = line_figure(finding, found)
    assert found.difference is None and figure.sentence.startswith("No line can be drawn through both sides. Hollow:")
    assert [point.network.label for point in figure.points if point.is_variant] == [
        f"manual{n} (width 2)" for n in range(5)
    ]
    assert [(s.is_fit, s.group) for s in figure.segments] == [(False, "manual")] * 5
    places = {(point.left, point.top): point.network.name for point in figure.points}
    assert all(places[s.start] == places[s.end] and s.start[0] < s.end[0] for s in figure.segments)


def test_your_own_networks_are_told_what_the_lines_give_at_their_accuracy():
    own = study(lambda g, n, clean: 2 * (clean - 60) + 10 * (g == "nas"), lambda g, n: 90 + n + (g == "nas"))
    like = [r for r in own if r.model.startswith("manual2")]

    def mine(name, accuracy):
        for r in like:
            trained = {"valid_accuracy": Metric(accuracy, "%", 1000)}
            metrics = trained if r.experiment == "train" else {"success_rate": Metric(30.0, "%", 1000)}
            yield r.replace(model=name, group="yours", metrics=metrics, weights_sha256=name.ljust(64, "0"))

    alone = control(build(own), "fig2", held_equal.CLEAN_ACCURACY)[1]
    report = build([*own, *mine("mine", 92.5), *mine("better", 99.0)])
    finding, found = control(report, "fig2", held_equal.CLEAN_ACCURACY)
    assert found.difference == alone.difference, "it is on neither side"
    assert "better lies beyond the others' clean accuracy." in found.note
    told = "mine has 30.00 %, and at its clean accuracy the lines give 75.00 % (searched) and 65.00 % (manual)."
    assert told in found.note and told in report.markdown() and told in report.html()
    figure = line_figure(finding, found)
    assert {point.network.name for point in figure.points if point.network.group == "yours"} == {"mine", "better"}
    assert figure.sentence.endswith("Yours are on neither side, and no line is drawn through them.")


def test_too_few_networks_have_no_figure():
    results = [r for r in study(lambda g, n, clean: 60 + 10 * (g == "nas"), lambda g, n: 90 + n) if r.model[-1] in "01"]
    finding, found = control(build(results), "fig2", held_equal.CLEAN_ACCURACY)
    assert found.covariate is not None and line_figure(finding, found) is None


@pytest.mark.parametrize("largest, alike", [(12_900, True), (13_100, False)])
def test_where_all_sizes_are_as_good_as_equal_the_difference_is_as_it_stands(largest, alike):
    networks = {"darts": 10_000, "random": largest}
    results = [
        r.replace(facts={**r.facts, "parameters": networks.get(r.model.partition("_s1")[0], 11_000)})
        for r in campaign(2, ["fig2"])
    ]
    finding, found = control(build(results), "fig2", held_equal.SIZE)
    assert ("All have 10 k to 12.9 k parameters" in found.note) == alike
    assert (found.difference == finding.reading.difference) == alike
    if alike:
        assert found.survives(finding.verdict) == "not needed", "its own difference is no test that it passes"
        assert claim_words.survival(found, finding) == "as it stands"
        others = [each for each in build(results).controls[finding.number] if each.name != held_equal.SIZE]
        assert claim_words.survivals([*others, found], finding) == claim_words.survivals(others, finding)
    unknown = [r.replace(facts={}) if r.model.startswith("sgas") else r for r in results]
    assert "as good as" not in control(build(unknown), "fig2", held_equal.SIZE)[1].note


def test_a_claims_own_controls_read_other_metrics_and_grid_values():
    report = build(campaign(2, ["fig10"]))
    finding, found = control(report, "fig10", "as published, mirrored and 50 and 50 images")
    section = next(s for s in report.sections if s.setting == {"confidence_filter": "published", "sample_num": "50"})
    expected = section.group_mean("nas", "boundary_auc_mirrored") - section.group_mean(
        "manual", "boundary_auc_mirrored"
    )
    assert found.difference.estimate == pytest.approx(expected)
    assert found.tolerance is None, "the band belongs to the claim's own metric"
    assert "sample_num 50." in found.note
    large = [r for r in campaign(2, ["fig10"]) if r.options["sample_num"] == 1000]
    _, found = control(build(large), "fig10", "as published, mirrored and 50 and 50 images")
    assert "sample_num 1000." in found.note, "where only another size was run, the row says which"


def test_a_reversed_control_turns_the_sign():
    finding, found = control(build(campaign(3, ["fig9"])), "fig9", "agreement in place of cross entropy")
    assert (finding.claim.goal, found.goal) == (-0.3, 0.3)
    assert found.difference.estimate > 0 and found.survives(finding.verdict) == "yes"


def test_a_control_for_any_number_is_one_for_each_that_was_measured():
    results = [
        r.replace(metrics={**r.metrics, **{f"cross_entropy_{n}_queries": r.metrics["cross_entropy"] for n in budgets}})
        for r, budgets in zip(
            campaign(2, ["fig9"]), itertools.cycle([("12000", "300"), ("12000", "2_5")]), strict=False
        )
    ]
    own = [each for each in build(results).controls[1] if each.metric.startswith("cross_entropy_")]
    assert [each.name for each in own] == ["with 2.5 queries", "with 300 queries", "with 12,000 queries"]
    assert own[2].metric == "cross_entropy_12000_queries" and own[2].difference is not None
    assert own[2].goal == -0.3, "the rest of the control is kept"
    _, found = control(build(campaign(2, ["fig9"])), "fig9", "with * queries")
    assert found.difference is None and "No records of both sides" in found.note, "what was not measured is not hidden"


def test_a_control_without_records_says_which():
    lone = [r for r in campaign(2, ["fig12"]) if r.options["init"] == "published"]
    _, found = control(build(lone), "fig12", "He's initialisation for all")
    assert found.difference is None and "init kaiming, norm_statistics running" in found.note


def test_a_control_of_a_side_that_was_not_measured_says_so():
    for experiment, side in (("table4", "mitigated"), ("fig2", "manual")):
        lost = [r.replace(status="failed", metrics={}) if r.group == side else r for r in campaign(2, [experiment])]
        for name in (held_equal.SIZE, held_equal.CLEAN_ACCURACY)[: 1 + (experiment == "fig2")]:
            _, found = control(build(lost), experiment, name)
            assert found.note == f"No records of {side}." and found.difference is None


def test_shared_weights_are_said():
    shared = [r.replace(weights_sha256=r.model.ljust(64, "0")) for r in campaign(2, ["fig2"])]
    _, found = control(build(shared), "fig2", controls.TRAINING)
    assert "(all networks): between them training does not vary" in found.note
    own = build(campaign(2, ["fig2"]))
    assert controls.TRAINING not in [each.name for each in own.controls[1]]


@pytest.mark.parametrize("control", ["holds", "undecided", "fails"])
def test_an_undecided_claim_survives_nothing(control):
    ends = {"holds": (1.0, 3.0), "undecided": (-1.0, 3.0), "fails": (-3.0, -1.0)}[control]
    difference = Difference(1.0, Interval(1.0, *ends), None, None, (2, 2))
    controlled = Controlled("x", "m", "", difference, 1.0, None)
    assert controlled.verdict.direction == control
    assert controlled.survives(Verdict("undecided", None)) == "not known"
    assert controlled.survives(Verdict("holds", None)) == {"holds": "yes", "fails": "no"}.get(control, "undecided")
