"""Networks for which an attack found nothing: no value is not nothing to say."""

from __future__ import annotations

from autovul.base.report import build, claim_words, standing
from autovul.base.result import Metric
from tests.base.report.records import campaign
from tests.base.report.test_standing import own


def unreached(results, seeds=(1228, 1229, 1230), missing=61):
    """An own network whose gradients lead nowhere: its median is not known, nor is its upper quartile."""
    doubt = f"for {missing} of 100 images no adversarial example was found at any distance"
    for r in own(results, "masked"):
        if r.seed in seeds:
            metrics = {n: m if n.startswith("lower") else Metric(None, m.unit, m.count) for n, m in r.metrics.items()}
            counts = {"images": 100, "without_adversarial": missing}
            r = r.replace(metrics=metrics, counts=counts, environment={**r.environment, "doubts": [doubt]})
        yield r


def test_a_network_without_adversarial_examples_does_not_vanish():
    results = campaign(3, ["distance"])
    report = build([*results, *unreached(results)])
    why = "no adversarial example found for 61 of 100 images: not measured"
    for form in (report.text(), report.markdown(), report.html()):
        form = " ".join(form.split())
        block = form.partition(standing.HEADING)[2].partition("Every interval")[0]
        assert "masked" in block and "not measured" in block
        assert f"{why.capitalize()}. Doubtful: for 61 of 100 images no adversarial example was found" in block
        assert f"masked: {why}." in form.partition("Every interval")[2], "the section"
    in_claim = [claim_words.notices(each) for each in report.findings if each.name == "distance"]
    assert all(f"masked ({why})" in each for each in in_claim) and in_claim
    assert ">not measured<" in report.html(), "the section's table"


def test_seeds_without_adversarial_examples_are_said_where_others_have_some():
    """Of the seeds that have a median the mean is too small."""
    results = campaign(3, ["distance"])
    report = build([*results, *unreached(results, seeds=[1228])])
    why = "no adversarial example found for 61 of 100 images: not measured in 1 of 3 seeds"
    assert f"masked: {why}." in " ".join(report.text().split())
    assert f"Some seeds are in no mean: masked ({why})." in claim_words.notices(report.findings[0])


def test_a_network_of_the_paper_without_adversarial_examples_is_named_too():
    results = campaign(3, ["distance"])
    lost = [r for r in unreached(results, missing=70) if r.options["norm"] == "inf"]
    others = [r for r in results if r.model != "resnet18_comp"]
    report = build([*others, *(r.replace(model="resnet18_comp", group="manual") for r in lost)])
    (found,) = [each for each in report.findings if each.name == "distance"]
    assert "resnet18_comp (no adversarial example found for 70 of 100 images: not measured)" in claim_words.notices(
        found
    )
