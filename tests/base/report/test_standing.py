"""The block on the user's own networks: what each is beside the groups of others, and no verdict that is not one."""

from __future__ import annotations

import csv
import io

import pytest

from autovul.base.report import build, standing
from autovul.base.result import Metric
from autovul.base.statistics import fixed_networks_interval
from tests.base.report.records import campaign, make


def own(results, name="mine", shift=0.0, **changes):
    """Records of a network of one's own, made of those of resnet18_comp, every metric ``shift`` more."""
    for r in results:
        if r.model == "resnet18_comp":
            metrics = {n: Metric(m.value + shift, m.unit, m.count) for n, m in r.metrics.items()}
            made = {"group": "yours", "metrics": metrics, "weights_sha256": f"{name}{r.seed}".encode().hex().ljust(64)}
            yield r.replace(**{**made, **changes}, model=name)


def words(report):
    """The word by experiment, network and group."""
    return {
        (each.experiment.name, each.network.name, comparison.second): standing.word(comparison)
        for networks in report.standings
        for each in networks
        for comparison in each.comparisons
    }


@pytest.fixture(scope="module")
def report():
    results = campaign(3, ["table1", "fig2", "distance"])
    return build([*results, *own(results, shift=15.0), *own(results, "safe", -40.0)])


def test_every_own_network_has_a_row_for_each_experiment_and_group(report):
    found = words(report)
    claims = "table1", "fig2", "distance"
    assert {*found} == {(c, n, g) for c in claims for n in ("mine", "safe") for g in ("manual", "nas")}
    assert found["fig2", "mine", "manual"] == "easier to attack" == found["distance", "safe", "manual"]
    assert found["fig2", "safe", "manual"] == "harder to attack" == found["distance", "mine", "nas"]
    assert (found["table1", "mine", "nas"], found["table1", "safe", "nas"]) == ("higher", "lower"), "no attack"


def test_variants_in_other_sizes_have_no_row(report):
    results = campaign(3, ["fig2"])
    mine = [r.replace(facts={**r.facts, "parameters": 3_000_000}) for r in own(results)]
    wide = [
        r.replace(
            options={**r.options, "width": 2.0}, facts={**r.facts, "parameters": 9_000_000}, weights_sha256="ab" * 32
        )
        for r in (*mine, *(r for r in results if r.model == "resnet18_comp"))
    ]
    alone, beside = (build([*results, *mine, *each]).standings for each in ([], wide))
    assert [len(each) for each in alone] == [len(each) for each in beside] == [1]


def test_its_interval_is_over_its_seeds_and_the_groups(report):
    (networks,) = [each for each in report.standings if each[0].experiment.name == "fig2"]
    mine = networks[0]
    (reading,) = [each.reading for each in report.findings if each.name == "fig2"]
    interval = fixed_networks_interval([mine.network.by_seed("success_rate")], reading.sides[1])
    (manual,) = [each for each in mine.comparisons if each.second == "manual"]
    assert manual.difference.these_networks == interval and interval.low > 0
    assert manual.means == pytest.approx((mine.network.mean("success_rate"), reading.mean(reading.second)))


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ("one seed", "not judged: one seed"),
        ("no spread", "not judged: all seeds alike"),
        ("doubt", "not judged: 1 network doubtful"),
        ("conditions", "not judged: different conditions"),
        ("alike", "undecided"),
    ],
)
def test_without_a_verdict_the_word_says_why(case, word):
    results = campaign(1 if case == "one seed" else 3, ["fig2"], groups=["manual"])
    mine = list(own(results, shift=0.0 if case == "alike" else 15.0))
    if case == "no spread":
        results, mine = ([r.replace(metrics=part[0].metrics) for r in part] for part in (results, mine))
    if case == "doubt":
        mine = [r.replace(environment={**r.environment, "doubts": ["at chance"]}) for r in mine]
    if case == "conditions":
        mine = [r.replace(options={**r.options, "pgd_eps": 0.5}) for r in mine]
        results = [r.replace(options={**r.options, "pgd_eps": 0.1}) for r in results]
    assert words(build([*results, *mine])) == {("fig2", "mine", "manual"): word}


def test_a_score_worse_than_guessing_is_not_called_harder_to_attack():
    results = campaign(3, ["fig10"])
    found = words(build([*results, *own(results, shift=-0.3)]))
    assert {each for key, each in found.items() if key[0] == "fig10"} == {"not judged: worse than guessing"}


def test_only_runs_of_the_claim_are_compared():
    """An own network that ran otherwise is in no row, and neither are others that did."""
    results = campaign(3, ["fig2"], groups=["manual"])
    mine, other = (list(own(results, name, 15.0)) for name in ("mine", "other"))
    other = [r.replace(options={**r.options, "iteration": 100}) for r in other]
    longer = [
        r.replace(options={**r.options, "iteration": 100}, metrics={"success_rate": Metric(1.0, "%", 9)})
        if r.model == "dla34_comp"
        else r
        for r in results
    ]
    report = build([*longer, *mine, *other])
    ((mine,),) = report.standings
    assert mine.network.name == "mine" and mine.comparisons[0].difference.networks == (1, 6)


def test_one_group_beside_it_is_enough():
    """Though the claim needs two."""
    results = campaign(3, ["fig2"], groups=["manual"])
    report = build([*results, *own(results, shift=15.0)])
    assert words(report) == {("fig2", "mine", "manual"): "easier to attack"}


def test_all_forms_say_it_before_the_claims(report):
    for text in (report.text(), report.markdown(), report.html()):
        block = text.index(standing.HEADING)
        assert block < text.index("easier to attack", block) < text.index("twenty comparisons", block)
    rows = list(csv.DictReader(io.StringIO(report.tables()["comparisons.csv"])))
    found = {(r["own_network"], r["second"]): r["standing"] for r in rows if r["metric"] == "success_rate"}
    assert found["mine", "manual"] == "easier to attack" and found["", "manual"] == ""


def test_without_others_it_says_so_and_without_own_networks_nothing():
    alone = build([make("mine", "yours")])
    for text in (alone.text(), alone.markdown(), alone.html()):
        assert standing.ALONE in text
    others = build([make("resnet18_comp", "manual")])
    for text in (others.text(), others.markdown(), others.html()):
        assert standing.HEADING not in text


def test_a_network_with_nothing_beside_it_keeps_its_row():
    results = campaign(3, ["fig2"], groups=["manual"])
    failed = [r.replace(status="failed", metrics={}) for r in results]
    report = build([*failed, *own(results)])
    assert [len(each.comparisons) for networks in report.standings for each in networks] == [0]
    assert "nothing was measured beside it" in report.html()
    assert "mine" in report.text().partition(standing.HEADING)[2].partition("Every interval")[0]


def by_metric(results, own_results, name="mine"):
    """The words beside manual networks by metric, and the notes."""
    report = build([*results, *own_results])
    (networks,) = report.standings
    (mine,) = [each for each in networks if each.network.name == name]
    words = {
        part.metric: standing.word(comparison)
        for part in mine.parts
        for comparison in part.comparisons
        if comparison.second == "manual"
    }
    return words, " ".join(standing.notes(networks)), report


def with_logits_scaled(results, sure=10.0, plain=0.0):
    """A network that differs from resnet18_comp by its confidence only, and so by one metric only."""
    shifts = {"success_rate": sure, "targeted_success_rate": plain}
    for r in own(results, "big"):
        yield r.replace(metrics={n: Metric(m.value + shifts.get(n, 0), m.unit, m.count) for n, m in r.metrics.items()})


def test_a_network_that_is_only_surer_is_not_called_easier_without_a_word():
    manual = [r for r in campaign(3, ["fig2"], groups=["manual"]) if r.model == "resnet18_comp"]
    words, notes, report = by_metric(manual, with_logits_scaled(manual), "big")
    assert words == {"success_rate": "easier to attack", "targeted_success_rate": "undecided"}
    told = "beside Manual it is easier to attack by Success rate, undecided by Classified as target."
    assert notes == f"big, Adversarial examples: The metrics disagree: {told} {standing.OF_CONFIDENCE}"
    for form in (report.text(), report.markdown(), report.html()):
        block = " ".join(form.partition(standing.HEADING)[2].split())
        assert "Classified as target" in block[: block.index("The metrics disagree")]
    words, notes, _ = by_metric(manual, with_logits_scaled(manual, 10.0, -20.0), "big")
    assert words["targeted_success_rate"] == "harder to attack" and ", harder to attack by Classified" in notes
    words, notes, _ = by_metric(manual, with_logits_scaled(manual, 10.0, 10.0), "big")
    assert {*words.values()} == {"easier to attack"} and not notes, "nothing is said where they agree"


def test_with_one_seed_nothing_disagrees():
    manual = [r for r in campaign(1, ["fig2"], groups=["manual"]) if r.model == "resnet18_comp"]
    words, notes, _ = by_metric(manual, with_logits_scaled(manual), "big")
    assert {*words.values()} == {"not judged: one seed"} and not notes


def test_only_metrics_of_the_same_runs_stand_beside():
    """A control with other values of the grid is of other runs; ``*`` stands for many metrics."""
    for name in ("fig6", "fig10"):
        results = campaign(3, [name])
        standings = [each for networks in build([*results, *own(results)]).standings for each in networks]
        assert standings and not any(each.also for each in standings)
