"""Networks whose figures are doubtful, such as those at chance: shown, and never judged without a word."""

from __future__ import annotations

import pytest

from autovul.base.report import advice, build, claim_words, wording
from autovul.base.report.held_equal import CLEAN_ACCURACY
from autovul.base.result import DESTROYED
from tests.base.report.records import campaign, make, training
from tests.base.report.test_controls import control, enlarged, off
from tests.base.report.test_controls import study as two_groups

PAIR = (("a", "nas"), ("b", "manual"))
CHANCE = "its accuracy of 26 % is near chance (25 %)"


def doubted(results, *names, of=("adv_attack", "train")):
    """The records with a doubt in those of some networks."""
    return [
        r.replace(environment={**r.environment, "doubts": [CHANCE]})
        if r.experiment in of and r.model.removesuffix(f"_s{r.seed}") in names
        else r
        for r in results
    ]


def fig2(report):
    return next(each for each in report.findings if each.name == "fig2")


@pytest.mark.parametrize("of", [("adv_attack",), ("train",)], ids=["its own record", "its weights' training"])
def test_a_claim_on_a_doubtful_network_is_not_judged_nor_are_its_controls(of):
    results = campaign(3, ["table1", "fig2"])
    assert fig2(build(results)).verdict is not None
    report = build(doubted(results, "drnas", of=of))
    found = fig2(report)
    assert found.verdict is None and claim_words.label(found) == "not judged: 1 network doubtful"
    assert "Not judged: 1 network doubtful: drnas." in claim_words.sentences(found)
    controls = report.controls[found.number]
    assert any(each.difference for each in controls) and not any(each.verdict for each in controls)
    for text in (report.text(), report.markdown(), report.html()):
        assert "not judged: 1 network doubtful" in text
    assert "Not judged: 1 network doubtful" in report.claims_csv()


def test_what_weights_are_worth_on_other_data_says_nothing():
    results = campaign(3, ["table1", "fig2"])
    other = next(r for r in results if r.model == "drnas" and r.experiment == "train")
    there = {"dataset": "cifar100c", "data_sha256": "ee" * 32, "experiment": "validate"}
    report = build([*results, *doubted([other.replace(**there)], "drnas", of=("validate",))])
    assert fig2(report).verdict == fig2(build(results)).verdict is not None


def test_that_an_attack_destroyed_a_network_is_no_doubt_about_what_it_cost():
    text = f"{DESTROYED} from 95.0 to 24.0 %, so that its success rate cannot be compared"
    for doubt, judged in ((text, {"accuracy_drop"}), (CHANCE, set())):
        results = [
            r.replace(environment={**r.environment, "doubts": [doubt]}) if r.model == "drnas" else r
            for r in campaign(3, ["fig7"])
        ]
        found = {each.claim.metric: each.verdict for each in build(results).findings if each.claim.goal}
        assert {metric for metric, verdict in found.items() if verdict} == judged and len(found) > 1


def test_a_doubtful_variant_takes_the_lines_verdict_and_leaves_the_claim_its_own():
    def rate(group, number, clean):
        return 2 * (clean - 60) + 5 * (group == "nas") + off(number)

    own = two_groups(rate, lambda group, number: 80 + number + 9 * (group == "nas"))
    wider = enlarged(two_groups(rate, lambda group, number: 90 + number))
    before, after = (build([*own, *each]) for each in (wider, doubted(wider, "manual1")))
    line, doubtful_line = (control(each, "fig2", CLEAN_ACCURACY)[1] for each in (before, after))
    assert line.verdict.direction == "holds" and doubtful_line.verdict is None
    assert doubtful_line.note.startswith("Not judged: 1 network doubtful.")
    assert fig2(after).verdict == fig2(before).verdict is not None


def test_a_doubt_on_neither_side_says_nothing_of_the_claim():
    found = fig2(build(doubted(campaign(3, ["table1", "fig2"]), "diy_deep", "no_such")))
    assert found.verdict is not None and not found.doubtful


def test_one_seed_of_a_doubtful_network_asks_for_no_more_seeds():
    results = campaign(1, ["table1", "fig2"])
    plain, report = build(results), build(doubted(results, "drnas"))
    assert advice.run_this(fig2(plain), plain) and not advice.run_this(fig2(report), report)


def test_a_range_counts_its_doubtful_networks():
    report = build(doubted(campaign(3, ["table1"]), "drnas", "darts"))
    found = next(each for each in report.findings if each.name == "table1")
    assert claim_words.label(found).endswith("inside, 2 doubtful")
    assert "Not judged: 2 networks doubtful: darts and drnas." in claim_words.sentences(found)


def test_a_comparison_of_groups_with_a_doubtful_network_calls_neither_easier():
    results = [
        make(name, group, seed, 40 + 20 * (group == "nas") + seed % 5) for seed in range(3) for name, group in PAIR
    ]
    (before,) = (section.headline_comparison for section in build(results).sections)
    assert wording.headline(before, "%").endswith("easier to attack.")
    (after,) = (section.headline_comparison for section in build(doubted(results, "b")).sections)
    said = " ".join([wording.headline(after, "%"), *wording.caveats(after, "%")])
    assert "not judged: 1 network doubtful" in said
    assert "to attack" not in said and "does not explain" not in said


def test_the_doubts_of_failed_trainings_and_other_weights_are_no_ones():
    failed = training(
        "darts", "nas", 1, 20.0, status="failed", environment={"doubts": [CHANCE]}, weights_sha256="aa" * 32
    )
    attacks = [make(weights_sha256="aa" * 32), make("drnas", weights_sha256="")]
    lost = training("enas", "nas", 1, 20.0, environment={"doubts": [CHANCE]}, weights_sha256="")
    report = build([failed, lost, *attacks])
    assert not any(n.doubts for s in report.sections if s.experiment == "adv_attack" for n in s.networks)
