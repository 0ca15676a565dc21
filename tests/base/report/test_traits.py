"""What networks are like beside what an attack found, and halves by it."""

from __future__ import annotations

import csv
import io
import itertools
import random
from statistics import fmean, median
from typing import get_args

import pytest

from autovul.base.experiments import load_experiments
from autovul.base.experiments.definition import Trait
from autovul.base.report import (
    advice,
    build,
    catalogue,
    claim_figure,
    claim_words,
    controls,
    coverage,
    held_out,
    wording,
)
from autovul.base.report.traits import Trainings, halves
from autovul.base.result import Metric
from tests.base.report.records import SAMPLED, campaign, make, training

OF_SAMPLED = ["sampled", "sampled_attack"]


def test_accuracy_is_taken_by_weights_and_else_by_network_and_seed():
    first = {
        "metrics": {"valid_accuracy": Metric(91.0, "%")},
        "weights_sha256": "aa" * 32,
        "options": {"suffix": "_s1"},
    }
    trained = make("a", seed=1, experiment="train", **first)
    other = trained.replace(
        weights_sha256="bb" * 32, metrics={"valid_accuracy": Metric(50.0, "%")}, options={"suffix": "_fast_s1"}
    )
    known = Trainings.of([trained, other])
    runs = [make("a", seed=1, weights_sha256=sha, options={"suffix": suffix}) for sha, suffix in
            (("bb" * 32, "_s1"), ("cc" * 32, "_s1"), ("cc" * 32, "_fast_s1"), ("cc" * 32, "_odd_s1"))]  # fmt: skip
    found = [
        known.of_run(run, "valid_accuracy")
        for section in [build([r]).sections[0] for r in runs]
        for run in section.networks[0].runs
    ]
    assert found == [50.0, 91.0, 50.0, None]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_trainings_own_validation_counts_and_of_two_the_newest(order):
    sha = "aa" * 32
    told = [("train", 91.0, "2025-01-01"), ("train", 92.0, "2025-01-02"), ("validate", 50.0, "2025-01-03")]
    records = [
        make("a", experiment=command, metrics={"valid_accuracy": Metric(value, "%")}, weights_sha256=sha,
             environment={"created": created}) for command, value, created in told
    ]  # fmt: skip
    known = Trainings.of([records[place] for place in order])
    (network,) = build([make("a", weights_sha256=sha)]).sections[0].networks
    assert known.of_network(network, "valid_accuracy") == 92.0


def test_what_one_record_lacks_another_of_the_same_training_tells():
    sha = "aa" * 32
    early = {"early_train_loss": Metric(1.5, "nats"), "valid_accuracy": Metric(70.0, "%")}
    trained = make("a", experiment="train", metrics=early, weights_sha256=sha)
    validated = trained.replace(experiment="validate", metrics={"valid_accuracy": Metric(90.0, "%")})
    (network,) = build([make("a", weights_sha256=sha)]).sections[0].networks
    known = Trainings.of([validated, trained])
    assert (known.trait(network, "early_train_loss"), known.of_network(network, "valid_accuracy")) == (1.5, 70.0)
    assert Trainings.of([validated]).trait(network, "early_train_loss") is None
    assert known.trait(network, "depth") == 61.0 and known.trait(network, "parameters") == 3_349_342


def test_older_trainings_tell_their_early_loss_epoch_by_epoch():
    def early(**changes):
        return build([training("darts", "nas", 1228, 90.0, **changes)]).results[0].metrics.get("early_train_loss")

    losses = [2.3 * 0.95**epoch for epoch in range(1, 61)]
    assert early().value == pytest.approx(fmean(losses[:6])) and early().unit == "nats"
    assert early(options={"epoch": 700}) is None, "what ended within the first tenth has none"
    assert early(options={}) is None and early(series=()) is None and early(series=({"epoch": 1},)) is None
    assert early(series=({"epoch": 1, "train_loss": 1e200},), epochs=5) is None, "a record may hold anything"
    own = {"early_train_loss": Metric(1.0, "nats")}
    assert early(metrics=own).value == 1.0
    assert "early_train_loss" not in build([make()]).results[0].metrics


@pytest.mark.parametrize(
    ("values", "less", "more", "middle", "unknown"),
    [
        ((3, 1, 2, 4), {1, 2}, {0, 3}, set(), set()),
        ((3, 1, 2), {1}, {0}, {2}, set()),
        ((1, 2, 2, 2, 3), {0}, {4}, {1, 2, 3}, set()),
        ((1, None, 2), {0}, {2}, set(), {1}),
        ((5, 5, 5), set(), set(), {0, 1, 2}, set()),
        ((None,), set(), set(), set(), {0}),
        ((), set(), set(), set(), set()),
    ],
)
def test_halves_are_what_lies_below_and_above_the_median(values, less, more, middle, unknown):
    networks = [build([make(f"n{place}")]).sections[0].networks[0] for place in range(len(values))]
    found = halves(networks, lambda network: values[int(network.name[1:])])
    places = {half: {int(each.name[1:]) for each in part} for half, part in found.items()}
    assert places == {"less": less, "more": more, "median": middle, "unknown": unknown}


def test_the_traits_of_definitions_are_those_that_have_words():
    assert {*get_args(Trait)} == {*catalogue.TRAITS}


@pytest.fixture(scope="module")
def report():
    return build(campaign(3, OF_SAMPLED))


def finding(report, name):
    (found,) = [each for each in report.findings if each.name == name]
    return found


def values_of(results, experiment, metric):
    """Each sampled network's mean."""
    found = {}
    for result in results:
        if result.group == "sampled" and result.experiment == experiment:
            found.setdefault(result.model, []).append(result.metrics[metric].value)
    return {name: fmean(values) for name, values in found.items()}


def test_a_claim_about_halves_is_the_difference_of_those_that_train_fast_and_the_others(report):
    results = campaign(3, OF_SAMPLED)
    early, success = (
        values_of(results, *each) for each in (("train", "early_train_loss"), ("adv_attack", "success_rate"))
    )
    middle = median(early.values())
    fast = fmean(success[name] for name in SAMPLED if early[name] < middle)
    slow = fmean(success[name] for name in SAMPLED if early[name] > middle)
    found = finding(report, "fast_are_weaker")
    assert found.reading.difference.estimate == pytest.approx(fast - slow)
    assert found.reading.difference.networks == (4, 4) and not found.reading.between
    assert claim_words.sides(found) == "sampled (faster early on) − sampled (slower early on)"
    assert "sampled (faster early on)" in claim_words.sentences(found)[0]
    blocks = claim_figure.networks(found).blocks
    assert [(block.title, block.group, len(block.dots)) for block in blocks] == [
        ("Sampled (faster early on)", "sampled", 4),
        ("Sampled (slower early on)", "sampled", 4),
    ]
    (row,) = [
        row
        for row in csv.DictReader(io.StringIO(report.claims_csv()))
        if (row["claim"], row["control"]) == ("fast_are_weaker", "")
    ]
    assert (row["first"], row["second"], row["halves"]) == ("sampled", "", "early_train_loss")
    for form in (report.html(), report.text(), report.markdown()):
        assert "sampled (faster early on)" in form


def test_the_halves_controls_are_read_on_halves_too(report):
    found = finding(report, "fast_are_weaker")
    by_name = {each.name: each for each in report.controls[found.number]}
    assert by_name["plain rate, classified as the target"].difference.networks == (4, 4)
    assert by_name["equal clean accuracy"].difference is not None, "cells of one space are alike enough for a line"


def test_the_network_in_the_middle_and_one_without_a_training_are_in_neither_half():
    lost = SAMPLED[0]
    results = [r for r in campaign(2, OF_SAMPLED) if (r.experiment, r.model) != ("train", lost)]
    found = finding(build(results, groups={"sampled": SAMPLED}), "fast_are_weaker")
    early = values_of(results, "train", "early_train_loss")
    (middle,) = [name for name, loss in early.items() if loss == median(early.values())]
    assert [each.name for each in found.reading.between] == [middle]
    assert [each.name for each in found.reading.unknown] == [lost]
    notice = claim_words.notices(found)
    why = f"{middle} (at the median of early training loss); {lost} (early training loss not known)"
    assert f"In neither half: {why}." in notice and "Without a value" not in notice
    blocks = {block.title: len(block.dots) for block in claim_figure.networks(found).blocks}
    assert blocks == {"Sampled (faster early on)": 3, "Sampled (slower early on)": 3, "In neither half": 2}


def test_without_trainings_there_are_no_halves_and_the_claim_says_why():
    results = [r for r in campaign(2, OF_SAMPLED) if r.experiment != "train"]
    report = build(results)
    found = finding(report, "fast_are_weaker")
    assert found.verdict is None
    (sentence,) = claim_words.sentences(found)
    assert sentence == "No two halves of the networks (sampled) that have Success rate (success_rate)."
    assert "(early training loss not known)" in claim_words.notices(found)
    assert "autovul reproduce sampled_attack" in advice.run_this(found, report)
    for form in (report.html(), report.text(), report.markdown(), report.claims_csv()):
        assert "fast_are_weaker" in form


def test_what_runs_only_when_named_says_nothing_of_other_experiments_runs():
    """Searched cells are on a side of its claims, and in figure 2 as well."""
    assert [each.name for each in build(campaign(2, ["fig2"])).findings] == ["fig2"]
    searched = [r for r in campaign(2, OF_SAMPLED) if r.group == "nas"]
    assert not [each.name for each in build(searched).findings if each.experiment.when_named]


def test_claims_without_a_side_are_not_measured_and_those_without_its_values_come_last(report):
    """Searched cells alone are a side of the paper's claims too."""
    names = [each.name for each in report.findings]
    assert names == ["table1", "searched_train_faster", "fast_are_weaker", "searched_are_weaker"]
    assert {"fig2", "table4", "trained_faster"} < {*coverage.open_claims(report)}
    lost = [
        r.replace(status="failed", metrics={}) if (r.group, r.experiment) == ("nas", "train") else r
        for r in report.results
    ]
    found = build(lost).findings
    assert [each.name for each in found] == [
        "fast_are_weaker",
        "searched_are_weaker",
        "table1",
        "searched_train_faster",
    ]
    assert [each.number for each in found] == [1, 2, 3, 4]
    assert [each.has_both_sides for each in found] == [True, True, False, False]


@pytest.mark.parametrize(("group", "pair"), [("nas", ("nas", "sampled")), ("yours", ("yours", "sampled"))])
def test_searched_and_own_networks_are_compared_with_sampled_ones(group, pair):
    (section,) = build([make("sampled_1", "sampled", value=30.0), make("a", group, value=50.0)]).sections
    found = [each for each in section.comparisons if each.metric == "success_rate"]
    assert [((each.first, each.second), each.difference.estimate) for each in found] == [(pair, 20.0)]


def test_groups_that_nobody_compares_are_not_called_one_group():
    (section,) = build([make("sampled_1", "sampled"), make("a", "mitigated")]).sections
    said = wording.nothing_to_compare(section)
    assert said == "Groups that are not compared with each other were measured: Mitigated and Sampled."
    (section,) = build([make("sampled_1", "sampled")]).sections
    assert "Only networks of one group (Sampled)" in wording.nothing_to_compare(section)


def test_every_claims_metric_is_drawn_against_early_training_loss(report):
    results = campaign(3, OF_SAMPLED)
    early, success = (
        values_of(results, *each) for each in (("train", "early_train_loss"), ("adv_attack", "success_rate"))
    )
    found = {each.fact: each for each in report.relations[finding(report, "fast_are_weaker").number]}
    points = {p.network.name: (p.x, p.y) for p in found["early training loss"].points if p.network.group == "sampled"}
    assert points == {name: (pytest.approx(early[name]), pytest.approx(success[name])) for name in SAMPLED}
    trained = report.relations[finding(report, "searched_train_faster").number]
    assert "early training loss" not in {each.fact for each in trained}, "a metric says nothing against itself"


def test_networks_that_are_alike_in_the_trait_are_halved_by_no_more_runs():
    own = load_experiments()["sampled_attack"]
    claim = own.claims["fast_are_weaker"].model_copy(update={"halves": "skips"})
    experiments = {"sampled_attack": own.model_copy(update={"claims": {"alike": claim}})}
    results = [r.replace(facts={**r.facts, "skips": 4}) for r in campaign(2, OF_SAMPLED)]
    report = build(results, experiments=experiments)
    (found,) = report.findings
    assert not advice.run_this(found, report)
    (sentence,) = claim_words.sentences(found)
    assert sentence == "No two halves of the networks (sampled) that have Success rate (success_rate)."
    assert "(at the median of skip connections)." in claim_words.notices(found)


def test_halves_by_size_are_not_called_equal_in_size():
    own = load_experiments()["sampled_attack"]
    claim = own.claims["fast_are_weaker"].model_copy(update={"halves": "parameters"})
    experiments = {"sampled_attack": own.model_copy(update={"claims": {"larger": claim}})}
    results = [
        r.replace(facts={**r.facts, "parameters": 60_000 + 100 * int(r.model.split("_")[1])})
        for r in campaign(2, OF_SAMPLED)
        if r.group == "sampled"
    ]
    report = build(results, experiments=experiments)
    (found,) = report.findings
    (equal,) = [each for each in report.controls[found.number] if each.name == "equal size"]
    assert found.reading.difference is not None and equal.difference is None and "Inseparable" in equal.note


def test_variants_of_other_size_are_in_the_half_of_their_network():
    """Wide variants all train faster, and would be a half of their own."""
    narrow = [
        r.replace(facts={**r.facts, "parameters": 60_000 + 5_000 * int(r.model.split("_")[1])})
        for r in campaign(2, OF_SAMPLED)
        if r.group == "sampled"
    ]
    wide = []
    for r in narrow:
        faster = {
            name: Metric(metric.value - (name == "early_train_loss"), metric.unit, metric.count)
            for name, metric in r.metrics.items()
        }
        changed = {"options": {**r.options, "init_channels": 72}, "weights_sha256": r.weights_sha256[::-1]}
        size = {**r.facts, "parameters": r.facts["parameters"] + 50_000}
        wide.append(r.replace(**changed, facts=size, metrics=faster))
    report = build([*narrow, *wide])
    found, *_ = (each for each in report.findings if each.name == "fast_are_weaker")
    (equal,) = [each for each in report.controls[found.number] if each.name == "equal size"]
    assert equal.difference is not None and equal.difference.networks == (4, 4)
    assert "With 8 variants of other size; each network counts once." in equal.note


def chance_alone(networks, seeds):
    """Runs in which early loss and success share each seed's chance, and no network differs from another."""
    source = random.Random(3)
    options = campaign(1, ["sampled_attack"], ["sampled"])[0].options
    for number in range(1, networks + 1):
        for seed in range(seeds):
            chance, name, sha = source.gauss(0, 0.1), f"sampled_{number}", f"{number:02d}{seed:02d}".ljust(64, "0")
            kept = {"weights_sha256": sha, "options": {**options, "suffix": f"_s{seed}", "seed": seed}}
            yield make(name, "sampled", seed, 50 - 100 * chance, **kept).replace(model=name)
            trained = {"early_train_loss": Metric(1.5 + chance, "nats"), "valid_accuracy": Metric(90.0, "%")}
            yield make(name, "sampled", seed, experiment="train", algorithm="", metrics=trained, **kept).replace(
                model=name
            )


def of_a_space(seeds, lead):
    """Attacks succeed on drawn cells at 10 to 80 %, and on searched ones at ``lead`` points above their mean."""
    options = campaign(1, ["sampled_attack"], ["sampled"])[0].options
    drawn = {f"sampled_{number}": 10.0 * number for number in range(1, 9)}
    searched = {name: 45 + lead + apart for name, apart in (("darts", -12), ("drnas", 0), ("pc_darts", 12))}
    for number, (name, rate) in enumerate({**drawn, **searched}.items()):
        group = "sampled" if name in drawn else "nas"
        for seed in range(seeds):
            sha = f"{number:02d}{seed:02d}".ljust(64, "0")
            kept = {"weights_sha256": sha, "options": {**options, "suffix": f"_s{seed}", "seed": seed}}
            metrics = dict.fromkeys(("success_rate", "targeted_success_rate"), Metric(rate + 0.1 * seed, "%"))
            yield make(name, group, seed, metrics=metrics, **kept).replace(model=name)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("lead, direction", [(15, "undecided"), (60, "holds"), (-60, "fails")])
def test_what_is_said_of_a_space_is_judged_by_how_much_its_networks_differ(seeds, lead, direction):
    report = build([*of_a_space(seeds, lead)])
    found = finding(report, "searched_are_weaker")
    these = found.reading.difference.these_networks
    assert these is None if seeds == 1 else not these.low <= 0 <= these.high, "seeds alone would decide"
    assert found.verdict.direction == direction
    plain = next(each for each in report.controls[found.number] if each.name.startswith("plain rate"))
    assert plain.verdict == found.verdict, "the same numbers"
    text = " ".join(claim_words.sentences(found))
    assert f"direction {direction}, by the wider interval and this test" in text and "seeds a network" not in text


def test_what_a_seeds_chance_gives_both_is_not_in_halves_by_the_other_seeds():
    report = build([*chance_alone(24, 5)])
    found = finding(report, "fast_are_weaker")
    assert found.verdict.direction == "holds", "by chance alone"
    (control,) = [each for each in report.controls[found.number] if each.name == controls.HELD_OUT]
    assert control.survives(found.verdict) == "undecided"
    assert abs(control.difference.estimate) < found.reading.difference.estimate / 2
    once = build([*chance_alone(24, 1)])
    (control,) = [
        each for each in once.controls[finding(once, "fast_are_weaker").number] if each.name == controls.HELD_OUT
    ]
    assert control.difference is None and "two seeds" in control.note


def test_halves_by_the_other_seeds_are_those_worked_out_by_hand():
    results = campaign(3, OF_SAMPLED)
    by_run = {(r.experiment, r.model, r.seed): r.metrics for r in results if r.group == "sampled"}
    expected = []
    for seed in (1228, 1229, 1230):
        early = {
            name: fmean(by_run["train", name, s]["early_train_loss"].value for s in (1228, 1229, 1230) if s != seed)
            for name in SAMPLED
        }
        ranked = sorted(SAMPLED, key=early.__getitem__)
        low, high = (
            fmean(by_run["adv_attack", name, seed]["success_rate"].value for name in half)
            for half in (ranked[:4], ranked[4:])
        )
        expected.append(low - high)
    report = build(results)
    reading = finding(report, "fast_are_weaker").reading
    assert held_out.differences(reading, "early_train_loss", report.trainings) == pytest.approx(expected)
