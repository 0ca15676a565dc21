"""Claims: which runs they are judged on, what the verdict is, and that every form of the report says the same."""

from __future__ import annotations

import csv
import io
import re
from statistics import fmean

import pytest

from autovul.base.experiments import Claim, Experiment, load_experiments
from autovul.base.report import belonging, build, claim_words, coverage, wording
from autovul.base.report.claim_figure import forest
from autovul.base.result import Metric
from autovul.base.statistics import Verdict, fixed_networks_interval, share_between_networks
from tests.base.report.records import MANUAL, NAS, campaign, make
from tests.base.report.test_page import Page


@pytest.fixture(scope="module")
def full():
    return build(campaign(3))


def finding(report, name):
    (found,) = [each for each in report.findings if each.name == name]
    return found


def test_every_claim_of_the_package_is_judged_once_on_one_campaign(full):
    asked = [each for each in load_experiments().values() if not each.when_named]
    assert [each.name for each in full.findings] == [name for each in asked for name in each.claims]
    rest = [each for each in load_experiments().values() if each.when_named]
    assert not coverage.open_claims(full), "what runs only when it is named is not missed"
    found = build(campaign(3, [each.name for each in rest])).findings
    names = [each.name for each in found if each.experiment.when_named]
    assert names == [name for each in rest for name in each.claims]


def test_a_claims_numbers_are_those_of_its_records(full):
    found = finding(full, "fig12")
    results = [
        r
        for r in campaign(3, ["fig12"])
        if (r.options["init"], r.options["norm_statistics"]) == ("published", "running")
    ]
    sides = []
    for group in ("nas", "manual"):
        values = {}
        for result in results:
            if result.group == group:
                metric = result.metrics["log10_gradient_variance"]
                values.setdefault(result.model, {})[result.seed] = metric.value
        sides.append(list(values.values()))
    means = [fmean(fmean(values.values()) for values in side) for side in sides]
    difference = means[0] - means[1]
    assert found.reading.difference.estimate == pytest.approx(difference)
    interval = fixed_networks_interval(*sides)
    assert found.reading.difference.these_networks.low == pytest.approx(interval.low)
    assert (len(sides[0]), len(sides[1])) == (len(found.reading.first), len(found.reading.second)) == (10, 7)


def test_largest_and_smallest_are_those_that_there_are_runs_of():
    some = [r for r in campaign(2, ["fig10"]) if r.options["sample_num"] == 50]
    assert finding(build(some), "fig10").where == {"sample_num": 50, "confidence_filter": "published"}
    assert finding(build(campaign(2, ["fig10"])), "fig10").where["sample_num"] == 1000


def test_a_claim_may_name_networks():
    found = finding(build(campaign(2, ["fig16"])), "fig16")
    assert [n.name for n in found.reading.first] == ["diy_deep", "diy_deep_noskip"]
    assert [n.name for n in found.reading.second] == ["darts"]


def test_networks_are_known_by_the_names_that_chose_them_too():
    (section,) = build([make("densenet121_comp", "manual", options={"model": "densenet_comp"})]).sections
    assert belonging.on_side(section.networks[0], ["densenet_comp"])
    (section,) = build([make("drnas", options={"model": "darts", "model_arch": "drnas"})]).sections
    assert belonging.on_side(section.networks[0], ["drnas"]) and not belonging.on_side(section.networks[0], ["darts"])


def test_runs_with_another_option_than_the_experiments_are_not_its():
    other = [r.replace(options={**r.options, "grad_method": "nes"}) for r in campaign(2, ["fig2"])]
    assert not [each for each in build(other).findings if each.name == "fig2"]
    said = "The paper says that attacks succeed more often on searched networks, by about 10 points"
    assert coverage.open_claims(build(other))["fig2"] == said


@pytest.mark.parametrize(
    ("recorded", "wanted", "equal"),
    [
        ([0.0, 0.1, 0.2, 0.4], (0, 0.1, 0.2, 0.4), True),
        ([0.0, 0.1], (0, 0.1, 0.2, 0.4), False),
        ([0.02], 0.02, True),
        (0.020000001, 0.02, False),
        (1, True, False),
        (True, True, True),
        (None, None, True),
        (None, "none", False),
        ("hard", "hard", True),
        ({}, 1, False),
    ],
)
def test_options_are_compared_by_what_they_mean(recorded, wanted, equal):
    assert belonging.same(recorded, wanted) is equal


def test_schedules_are_not_compared_but_weights_of_another_scale_are_kept_apart():
    paper = campaign(2, ["fig2"])
    other = {"success_rate": Metric(50.0, "%", 9)}
    fast = [r.replace(options={**r.options, "suffix": "_fast" + r.options["suffix"]}, metrics=other) for r in paper]
    report = build(paper + fast)
    found = [each for each in report.findings if each.name == "fig2"]
    assert [each.section.setting for each in found] == [{"suffix": "_fast"}, {"suffix": "none"}]
    assert [each.reading.difference.estimate == 0 for each in found] == [True, False]


def test_one_seed_gives_no_verdict_and_says_what_to_run():
    report = build(campaign(1, ["fig2"]))
    found = finding(report, "fig2")
    assert found.verdict is None
    assert "no verdict is possible" in " ".join(claim_words.sentences(found))
    for form in (report.text(), report.markdown(), Page(report.html()).text):
        assert "autovul reproduce fig2 --seeds 3" in form
    assert claim_words.label(found) == "no verdict"
    uneven = campaign(1, ["fig2"], ["nas"]) + campaign(3, ["fig2"], ["manual"])
    assert "a side has one seed a network" in " ".join(claim_words.sentences(finding(build(uneven), "fig2")))


def test_every_form_begins_with_how_many_claims_hold(full):
    judged = [each for each in full.findings if each.claim.range is None and each.claim.goal is not None]
    decided = [each.verdict.direction for each in judged if each.verdict]
    tally = claim_words.tally(full.findings)
    assert tally.startswith(f"Of {len(judged)} claims about a difference, the direction holds for ")
    assert f" holds for {decided.count('holds')}" in tally and "before controls" in tally
    assert (f" undecided for {decided.count('undecided')}" in tally) == ("undecided" in decided)
    for form in (Page(full.html()).text, full.text(), full.markdown()):
        text = " ".join(form.replace("*", "").split())
        assert text.index(tally) < text.index(full.findings[0].name)
    alone = build(campaign(1, ["fig2"])).findings
    assert claim_words.tally(alone).endswith("with one seed per network, design cannot be told from chance.")
    assert claim_words.tally([]) == ""
    mixed = claim_words.tally([*[each for each in judged if each.verdict][:2], *alone])
    assert mixed.endswith("has no verdict.")


def test_the_table_of_claims_says_each_in_words(full):
    cells = ["".join(row[0].split()) for row in Page(full.html()).rows]
    for found in full.findings:
        assert any(cell.startswith(found.name + "".join(found.claim.says.split())) for cell in cells)


def test_equal_results_of_all_seeds_give_no_verdict():
    rate = {"success_rate": Metric(100.0, "%", 1000)}
    results = [r.replace(metrics=rate) for r in campaign(3, ["fig2"])]
    assert finding(build(results), "fig2").verdict is None
    lower = [r.replace(metrics={"success_rate": Metric(99.9, "%", 1000)}) if r.group == "nas" else r for r in results]
    found = finding(build(lower), "fig2")
    assert found.reading.difference.estimate == pytest.approx(-0.1) and found.verdict is None
    assert "No verdict: all seeds gave the same values" in " ".join(claim_words.sentences(found))


def test_a_claim_tells_how_many_of_its_networks_were_measured():
    """Of those that there are records of at all; the others are named once."""
    groups = {"nas": NAS, "manual": MANUAL, "variant": ("darts_v1",), "yours": ()}
    whole = build(campaign(2, ["fig2"]), groups=groups)
    assert "network" not in claim_words.label(finding(whole, "fig2")) and not coverage.measured(whole)
    some = [r for r in campaign(2, ["fig2"]) if r.group == "nas" or r.model in ("dla34_comp", "vgg13_bn_comp")]
    named_only = build(some, groups=groups)
    assert claim_words.label(finding(named_only, "fig2")) == claim_words.label(finding(build(some), "fig2"))
    assert not claim_words.notices(finding(named_only, "fig2"))
    for form in (named_only.text(), named_only.markdown(), named_only.html(), named_only.latex()):
        form = " ".join(form.replace("\\_", "_").split())
        assert form.count("10 of 10 searched and") == 0 and form.count("2 of 7 manual networks were measured") == 1
    elsewhere = [r for r in campaign(1, ["table1"]) if r.group == "manual"]
    report = build([*some, *elsewhere], groups=groups)
    found = finding(report, "fig2")
    assert claim_words.label(found).endswith(" (12 of 17 networks)")
    assert "Measured: 10 of 10 searched; 2 of 7 manual. Without a value: bit-m-r50x1_comp, " in " ".join(
        report.text().split()
    )
    row = next(row for row in csv.DictReader(io.StringIO(report.claims_csv())) if row["claim"] == "fig2")
    assert "2 of 7 manual" in row["note"]
    assert not claim_words.notices(finding(build(some, groups={"nas": NAS}), "fig2")), "of manual nothing is known"
    lost = [r.replace(status="failed", metrics={}) if r.group == "manual" else r for r in campaign(2, ["table1"])]
    assert claim_words.label(finding(build(lost, groups=groups), "table1")).endswith("inside (10 of 17 networks)")
    named = finding(build(campaign(2, ["fig16"]), groups={**groups, "mitigated": ()}), "fig16")
    assert named.absent == ([], []), "a side of networks by name"


def test_seeds_that_diverged_are_named_in_the_claim():
    results = [
        r.replace(status="diverged", metrics={}) if (r.model, r.seed) == ("darts", 1229) else r
        for r in campaign(3, ["fig2"])
    ]
    assert "Some seeds are in no mean: darts (1 diverged)." in claim_words.notices(finding(build(results), "fig2"))


def test_variants_of_a_searched_network_are_in_no_mean_of_the_searched_ones():
    results = campaign(2, ["fig2"])
    variant = [r.replace(model="darts_v1", group="variant") for r in results if r.model == "darts"]
    with_it, without = (finding(build(each), "fig2") for each in (results + variant, results))
    assert with_it.reading.difference == without.reading.difference
    old = [r.replace(group="nas") for r in variant]  # records made when it was counted among them
    groups = {"nas": NAS, "manual": MANUAL, "variant": ("darts_v1",)}
    found = finding(build(results + old, groups=groups), "fig2")
    assert found.reading.difference == without.reading.difference and not any(found.absent)


def test_given_weights_are_judged_by_the_claim_about_training():
    trained = campaign(2, ["table1"])
    validated = [r.replace(experiment="validate") for r in trained]
    found, there = (finding(build(each), "table1") for each in (validated, trained))
    assert claim_words.label(found) == claim_words.label(there)
    both = [each for each in build(trained + validated).findings if each.name == "table1"]
    assert [each.section.experiment for each in both] == ["train", "validate"], "never pooled"
    assert [each.conditions for each in both] == [["cifar10"], ["Validation", "cifar10"]]


def test_what_a_validation_cannot_measure_is_no_claim_about_it():
    trained = [
        r.replace(metrics={**r.metrics, "early_train_loss": Metric(1.5, "nats")}) for r in campaign(2, ["table1"])
    ]
    validated = [
        r.replace(experiment="validate", metrics={"valid_accuracy": r.metrics["valid_accuracy"]}, series=())
        for r in trained
    ]
    found = [each for each in build(trained + validated).findings if each.name == "trained_faster"]
    assert [each.section.experiment for each in found] == ["train"]
    report = build(validated)
    assert "trained_faster" not in {each.name for each in report.findings}
    assert "trained_faster" in coverage.open_claims(report)


def test_a_claim_names_what_its_definition_leaves_open():
    results = with_options(campaign(2, ["fig2"]), "nas", pgd_eps=8 / 255, pgd_alpha=2 / 255)
    results = with_options(results, "manual", pgd_eps=8 / 255, pgd_alpha=2 / 255)
    assert finding(build(results), "fig2").conditions == ["cifar10", "pgd_eps 8/255", "pgd_alpha 2/255"]
    larger = with_options(with_options(results, "nas", pgd_eps=16 / 255), "manual", pgd_eps=16 / 255)
    for each in build(results + larger).findings:
        assert sum(part.startswith("pgd_eps ") for part in each.conditions) == 1, "once, where it divides the sections"
    mine = [r.replace(model="mine", group="yours", options={**r.options, "pgd_eps": 0.1}) for r in results[:2]]
    assert "pgd_eps 8/255" in finding(build(results + mine), "fig2").conditions, "the sides', not one's own network's"
    assert "pgd_eps not recorded" in finding(build(campaign(2, ["fig2"])), "fig2").conditions


def test_below_one_half_a_higher_auc_is_not_called_easier():
    results = [
        r.replace(metrics={name: Metric(m.value - 0.2, m.unit, m.count) for name, m in r.metrics.items()})
        for r in campaign(2, ["fig10"])
    ]
    for low, expected in ((results, True), (campaign(2, ["fig10"]), False)):
        report = build(low)
        texts = [" ".join(claim_words.sentences(finding(report, "fig10"))), report.text()]
        assert all(("An attacker turns a score below 0.5 round" in text) is expected for text in texts)


@pytest.mark.parametrize(
    ("nas", "manual", "word", "distances"),
    [(0.45, 0.40, "harder", "0.05000 against 0.1000"), (0.6, 0.45, "easier", "0.1000 against 0.05000")],
)
def test_the_distance_from_one_half_is_what_an_attacker_has(nas, manual, word, distances):
    results = [
        make(name, group, 1, experiment="membership", algorithm="", metrics={"boundary_auc": Metric(value)})
        for name, group, value in (("a", "nas", nas), ("b", "manual", manual))
    ]
    (section,) = build(results).sections
    text = wording.headline(section.headline_comparison, "")
    assert f"higher, that is {word} to attack." in text and text.endswith(f"counts: {distances}.")


def test_a_claim_of_which_a_side_never_ran_is_not_measured_and_one_without_its_values_says_whose_lack():
    report = build(campaign(2, ["fig2"], ["nas"]))
    assert not report.findings and "fig2" in coverage.open_claims(report)
    failed = [r.replace(status="failed", metrics={}) for r in campaign(2, ["fig2"], ["manual"])]
    found = finding(build([*campaign(2, ["fig2"], ["nas"]), *failed]), "fig2")
    assert "No records of manual have Success rate" in claim_words.sentences(found)[0]


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (None, "no verdict"),
        (Verdict("holds", None), "direction holds"),
        (Verdict("holds", "inside"), "direction holds, size as claimed"),
        (Verdict("fails", "outside"), "direction fails, size not as claimed"),
        (Verdict("holds", "across"), "direction holds, size undecided"),
        (Verdict("undecided", "across"), "direction and size undecided"),
    ],
)
def test_a_verdict_in_words(verdict, text):
    assert claim_words.verdict_text(verdict) == text


def test_one_word_for_what_a_search_designed(full):
    """The claims' own; the group keeps its name in tables of values."""
    for form in (full.html(), full.text(), full.markdown(), full.latex()):
        assert "Searched" in form and not re.search(r"\bNAS\b", form)
    assert {row["first"] for row in csv.DictReader(io.StringIO(full.claims_csv()))} >= {"nas"}


def test_an_undecided_claim_says_how_many_more_seeds():
    results = []
    for group, centre in (("nas", 80.4), ("manual", 80.0)):
        for number in range(3):
            for seed, step in enumerate((-2.0, 0.0, 2.0)):
                changes = {"options": {**campaign(1, ["fig2"])[0].options, "suffix": "", "seed": seed}}
                results.append(
                    make(f"{group}{number}", group, seed, centre + step, **changes).replace(model=f"{group}{number}")
                )
    found = finding(build(results), "fig2")
    assert found.verdict.direction == "undecided"
    needed = found.seeds_needed
    assert needed is None or f"{needed - 3} more seeds a network ({needed} in all)" in " ".join(
        claim_words.sentences(found)
    )


def test_a_range_is_not_judged_on_data_that_it_is_not_about(full):
    digits = build([result.replace(dataset="digits") for result in campaign(2, ["table1"])])
    found = finding(digits, "table1")
    assert claim_words.label(found) == "not judged: about cifar10"
    assert "about cifar10; these are digits" in " ".join(claim_words.sentences(found))
    assert "cifar10; these" not in " ".join(claim_words.sentences(finding(full, "table1")))
    rows = {row["claim"]: row["inside"] for row in csv.DictReader(io.StringIO(digits.claims_csv()))}
    assert rows["table1"] == ""
    values = [each.mean("valid_accuracy") for each in found.reading.first]
    assert f"{min(values):.2f} % to {max(values):.2f} % over 17 networks; 96 to 97 % is claimed." in " ".join(
        claim_words.sentences(found)
    )
    text = " ".join(build([r.replace(dataset="digits") for r in campaign(1, ["table1"])]).text().split())
    of_table1 = text[text.index("Claim table1") : text.index("Network", text.index("Claim table1"))]
    assert "lie in" not in of_table1 and "Run " not in of_table1, "more seeds would not judge it"


def narrowed(names=(), **options):
    for r in campaign(2, ["table1"]):
        width = {"width": 0.25} if r.model in names or not names else {}
        yield r.replace(options={**r.options, **width, **options})


def test_a_range_is_judged_on_networks_of_the_published_size():
    """A claim about values says nothing of narrowed networks; trained otherwise they count, and it is said."""
    found = finding(build(list(narrowed())), "table1")
    assert claim_words.label(found) == "not judged: none in its published size"
    found = finding(build(list(narrowed(["darts", "enas"], epoch=40))), "table1")
    inside = [96 <= each.mean("valid_accuracy") <= 97 for each in found.reading.first if not each.marks]
    assert claim_words.label(found) == f"{sum(inside)} of 15 inside"
    told = " ".join(claim_words.sentences(found))
    assert "the claim is about: darts (width 0.25) and enas (width 0.25)." in told
    assert "Trained otherwise than the claim's networks: epoch 40 in place of 200." in told


def test_a_range_of_ones_own_is_about_networks_as_they_are():
    """It names no data, so that it is about no published networks either."""
    table1 = load_experiments()["table1"]
    claim = table1.claims["table1"].model_copy(update={"data": None})
    mine = table1.model_copy(update={"name": "mine", "claims": {"table1": claim}})
    found = finding(build(list(narrowed(epoch=40)), experiments={"mine": mine}), "table1")
    assert claim_words.label(found).endswith(" of 17 inside")
    assert "in place of" not in " ".join(claim_words.sentences(found))


def test_a_range_counts_the_networks_inside(full):
    found = finding(full, "table1")
    means = [network.mean("valid_accuracy") for network in found.reading.first]
    inside = sum(96 <= mean <= 97 for mean in means)
    assert claim_words.label(found) == f"{inside} of 17 inside" and 0 < inside < 17


def test_an_experiment_of_the_users_own_is_judged_too():
    claim = Claim(says="mine is safer", metric="harm", first=("mine",), second=("darts",), expected=-5)
    own = Experiment(
        name="mine",
        title="My attack",
        command="my_attack",
        networks=("yours", "darts"),
        options={"strength": 2},
        claims={"my-claim": claim},
    )
    results = [
        make(model, group, seed, experiment="my_attack", algorithm="", options={"strength": 2.0},
             metrics={"harm": Metric(level + seed / 10)}).replace(model=model)
        for model, group, level in (("mine", "yours", 1.0), ("darts", "nas", 8.0)) for seed in (1, 2, 3)
    ]  # fmt: skip
    found = finding(build(results, (), {"mine": own}), "my-claim")
    assert found.verdict.direction == "holds" and found.verdict.size is None


def test_a_claim_may_say_no_more_than_which_side_is_higher():
    results = campaign(3, ["distance"])
    lower = load_experiments()["distance"]
    claim = lower.claims["distance"].model_copy(update={"direction": "higher"})
    higher = lower.model_copy(update={"claims": {"distance": claim}})
    for experiment, word, direction in ((lower, "lower", "holds"), (higher, "higher", "fails")):
        report = build(results, experiments={"distance": experiment})
        found = finding(report, "distance")
        assert (found.verdict.direction, found.verdict.size) == (direction, None)
        assert found.reading.difference.estimate < 0
        assert claim_words.expectation(found) == word
        text = " ".join(report.text().split())
        assert f"direction {direction} ({word} expected)" in text and "paper says" not in text
        assert "The claim: the nearest" in report.html()
        rows = list(csv.DictReader(io.StringIO(report.claims_csv())))
        assert {row["expected"] for row in rows} == {word} and not any(row["tolerance"] for row in rows)
        drawn = forest(found, report.controls[found.number])
        assert drawn.band is None
        assert [row.label for row in drawn.rows if row.kind == "control"], "controls of the same direction"
        by_name = {each.name: each for each in report.controls[found.number]}
        assert by_name["the nearest quarter of the images"].survives(found.verdict) == "yes"


def test_own_networks_stand_beside_the_groups_and_in_neither_mean():
    results = campaign(2, ["fig2"])
    mine = [r.replace(model="mine", group="yours", metrics={"success_rate": Metric(1.0, "%", 9)}) for r in results[:2]]
    with_mine, without = finding(build(results + mine), "fig2"), finding(build(results), "fig2")
    assert [network.name for network in with_mine.reading.yours] == ["mine"]
    assert with_mine.reading.difference == without.reading.difference


def test_what_has_no_value_is_named_with_its_reason():
    results = campaign(2, ["fig2"])
    lost = [
        r.replace(status="diverged", metrics={}, message="loss is NaN") if r.model == "darts" else r for r in results
    ]
    lost = [r.replace(metrics={"other": Metric(1.0)}) if r.model == "drnas" else r for r in lost]
    text = claim_words.notices(finding(build(lost), "fig2"))
    assert "darts (diverged: loss is NaN)" in text and "drnas (its records have no Success rate (success_rate))" in text


def test_every_form_of_the_report_has_every_verdict(full):
    page, text, markdown = full.html(), full.text(), full.markdown()
    rows = list(csv.DictReader(io.StringIO(full.claims_csv())))
    for found in full.findings:
        label = claim_words.label(found)
        assert label in page and label in markdown and f"Claim {found.name}: {label}" in text
        (row,) = [row for row in rows if (row["claim"], row["control"]) == (found.name, "")]
        if found.reading.difference:
            assert float(row["difference"]) == found.reading.difference.estimate
            assert row["direction"] == (found.verdict.direction if found.verdict else "")


def test_a_figure_says_on_which_side_a_claim_without_a_band_lies(full):
    sides = {"distance": "Claimed: left of 0.", "trained_faster": "Claimed: left of 0.", "fig2": ""}
    for name, words in sides.items():
        found = finding(full, name)
        assert forest(found, full.controls[found.number]).claimed == words


def test_the_figure_shows_the_band_zero_and_every_interval_in_proportion(full):
    found = finding(full, "fig2")
    drawn = forest(found, full.controls[found.number])
    assert drawn.band == (drawn.axis.place(6), drawn.axis.place(14)) and drawn.zero == drawn.axis.place(0)
    interval = found.reading.difference.these_networks
    assert (drawn.rows[0].bar.low, drawn.rows[0].bar.high) == (
        drawn.axis.place(interval.low),
        drawn.axis.place(interval.high),
    )
    assert [row.label for row in drawn.rows][2:] == ["Plain rate, classified as the target", "Equal clean accuracy"]
    assert "These networks: +" in drawn.description and "Expected: +6 to +14 points." in drawn.description


def with_options(results, group, **options):
    return [r.replace(options={**r.options, **options}) if r.group == group else r for r in results]


def test_sides_under_different_conditions_get_no_verdict():
    results = with_options(with_options(campaign(2, ["fig2"]), "manual", pgd_eps=4 / 255), "nas", pgd_eps=8 / 255)
    found = finding(build(results), "fig2")
    assert found.confounds == {"pgd_eps": (["8/255"], ["4/255"])}
    assert found.verdict is None
    assert "No verdict: the sides ran under different conditions, pgd_eps 8/255 against 4/255." in " ".join(
        claim_words.sentences(found)
    )
    sizes = with_options(campaign(2, ["fig2"]), "manual", width=0.5)
    assert finding(build(sizes), "fig2").verdict is not None, "a size belongs to its group"
    report = build(results)
    assert {each.verdict for each in report.controls[found.number]} == {None}, "nor do its controls"
    assert "the sides differ by more" not in " ".join(claim_words.sentences(found))
    row = next(row for row in csv.DictReader(io.StringIO(report.claims_csv())) if row["claim"] == "fig2")
    assert row["note"].startswith("No verdict: the sides ran under different conditions, pgd_eps")
    (section,) = [s for s in report.sections if s.experiment == "adv_attack"]
    assert wording.headline(section.headline_comparison, "%").endswith("higher, under different conditions.")


def test_one_network_under_the_other_sides_conditions_does_not_make_a_verdict():
    results = with_options(with_options(campaign(2, ["fig2"]), "manual", pgd_eps=8 / 255), "nas", pgd_eps=16 / 255)
    one = [r.replace(options={**r.options, "pgd_eps": 8 / 255}) if r.model == "darts" else r for r in results]
    found = finding(build(one), "fig2")
    assert found.verdict is None and "pgd_eps" in found.confounds


def test_one_network_under_other_conditions_is_told_beside_the_verdict():
    results = [r.replace(options={**r.options, "lr": 0.01 if r.model == "darts" else 0.025})
               for r in campaign(2, ["fig2"])]  # fmt: skip
    found = finding(build(results), "fig2")
    assert found.verdict is not None and not found.confounds
    assert "Not all networks ran under the same conditions (lr)" in claim_words.notices(found)


def test_weights_of_two_scales_never_share_a_section():
    results = campaign(2, ["fig2"])
    mixed = [
        r.replace(options={**r.options, "suffix": "_fast" + str(r.options["suffix"])}) if r.group == "nas" else r
        for r in results
    ]
    sections = [s for s in build(mixed).sections if s.experiment == "adv_attack"]
    assert [{n.group for n in s.networks} for s in sections] == [{"nas"}, {"manual"}]


@pytest.mark.parametrize(
    ("experiment", "changed"),
    [
        ("fig2", {"iteration": 1}),
        ("fig2", {"target_class": 3}),
        ("fig7", {"mark_alpha": 0.9}),
        ("fig7", {"train_mode": "loss"}),
        ("fig9", {"tmodel": "resnet18_comp"}),
        ("fig10", {"misclassified": "zero"}),
        ("fig12", {"clip_norm": 1.0}),
    ],
)
def test_another_attack_than_the_papers_is_not_judged_by_its_claim(experiment, changed):
    results = campaign(2, [experiment])
    names = set(load_experiments()[experiment].claims)
    assert names <= {each.name for each in build(results).findings}
    other = [r.replace(options={**r.options, **changed}) for r in results]
    assert not names & {each.name for each in build(other).findings}


def test_a_file_of_cells_is_not_the_darts_that_a_claim_names():
    results = campaign(2, ["table4"])
    plain = next(r for r in results if r.model == "darts" and r.seed == 1228)
    mine = [
        plain.replace(
            model="mine",
            group="yours",
            seed=seed,
            options={**plain.options, "model": "darts", "genotype": "mine.yaml", "seed": seed},
            metrics={"valid_accuracy": Metric(5.0, "%", 1000)},
        )
        for seed in (1228, 1229)
    ]
    (finding,) = [each for each in build(results + mine).findings if each.name == "table4"]
    (alone,) = [each for each in build(results).findings if each.name == "table4"]
    assert [network.name for network in finding.reading.second] == ["darts"]
    assert [network.name for network in finding.reading.yours] == ["mine"]
    assert finding.reading.difference.estimate == alone.reading.difference.estimate
    assert "table4" not in [each.name for each in build(mine).findings]


def test_a_claim_of_ones_own_is_not_said_to_be_the_papers():
    claim = {"says": "mine are easier", "metric": "success_rate", "first": ["yours"], "second": ["manual"]}
    own = Experiment(
        **{
            **load_experiments()["fig2"].model_dump(),
            "name": "mine",
            "claims": {"mine": {**claim, "expected": 5.0}},
        }
    )
    results = campaign(2, ["fig2"], groups=["manual"])
    files = [
        r.replace(group="yours", options={**r.options, "model": "darts", "genotype": f"{r.model}.yaml"})
        for r in campaign(2, ["fig2"], groups=["nas"])
    ]
    report = build(results + files, experiments={"mine": own})
    (found,) = report.findings
    assert not found.confounds, "the files' paths are no conditions"
    assert found.verdict is not None
    for text in (report.text(), report.markdown(), report.html()):
        assert "The claim: mine are easier" in text and "paper says" not in text


def test_each_claim_says_how_much_is_the_networks_own(full):
    found = finding(full, "fig2")
    share = share_between_networks(found.reading.sides)
    (sentence,) = [each for each in claim_words.sentences(found) if each.startswith("Design against chance")]
    assert f"{100 * share.estimate:.0f} % (95 % interval {100 * share.low:.0f} to {100 * share.high:.0f} %)" in sentence
    for form in (full.html(), full.text().replace("\n  ", " "), full.markdown()):
        assert "Design against chance" in form
    rows = [row for row in csv.DictReader(io.StringIO(full.claims_csv())) if row["claim"] == "fig2"]
    assert float(rows[0]["share_between_networks"]) == pytest.approx(share.estimate)
    assert not any(row["share_high"] for row in rows[1:]), "controls have none"
    once = build(campaign(1, ["fig2"]))
    assert not [each for each in claim_words.sentences(finding(once, "fig2")) if each.startswith("Design against")]
