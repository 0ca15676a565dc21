"""Membership inference: who is tried, what the scores say, what is kept out, what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput, auc
from autovul.base.options import OptionError
from autovul.base.summary import summary
from autovul.vision import attacks, datasets, models
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.hop_skip_jump import image_seed
from autovul.vision.attacks.membership.scores import baseline
from autovul.vision.attacks.victim import questioned
from autovul.vision.datasets import Augmentation, ImageDataset, ImageSplit

NAMES = ["dark", "bright"]


class Brightness(nn.Module):
    """Bright or dark: the boundary is a known plane, and an image's distance to it is how far its mean is from 0.5."""

    def __init__(self, sharpness=40.0):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))

    def forward(self, x):
        margin = self.sharpness * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-margin, margin], 1)


def split(count, distance, seed, wrong=0):
    """Images whose mean is about ``distance`` from 0.5 on either side; the first ``wrong`` labels are false."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    centre = 127.5 + 255 * distance * (2.0 * labels - 1) * (1 + 0.3 * torch.rand(count, generator=generator))
    noise = torch.randint(-20, 21, (count, 3, 6, 6), generator=generator)
    images = (centre.view(-1, 1, 1, 1) + noise).round().clamp(0, 255).to(torch.uint8)
    labels[:wrong] = 1 - labels[:wrong]
    return ImageSplit(images, labels)


def data(inside=0.12, outside=0.05, count=60, wrong=0):
    """Members lie at one distance from the boundary, non-members at another."""
    return ImageDataset("grey", NAMES, split(count, inside, 0, wrong), split(count, outside, 1), (0.0,) * 3, (1.0,) * 3)


def attack(**options):
    return attacks.create(
        "membership", **{"confidence_filter": "none", "sample_num": 20, "max_iter": 1, "init_size": 10, **options}
    )


def value(result, name):
    return result.metrics[name].value


def test_members_farther_from_the_boundary_are_found():
    result = attack().run(Brightness(), data())
    assert value(result, "boundary_auc") > 0.95
    assert value(result, "member_median_linf") > 1.3 * value(result, "non_member_median_linf")
    assert result.metrics["boundary_auc"].count == 40
    assert {row["method"] for row in result.series} == {"boundary", "confidence", "entropy", "loss"}
    for method in ("confidence", "entropy", "loss"):
        assert value(result, f"{method}_auc") > 0.95


def test_a_record_carries_the_roc_curves_whose_area_is_the_auc():
    result = attack(method=("confidence", "boundary")).run(Brightness(), data(inside=0.1, outside=0.11))
    for row in result.series:
        (start, *_, end), area = row["roc"], 0.0
        for (x0, y0), (x1, y1) in pairwise(row["roc"]):
            area += (x1 - x0) * (y0 + y1) / 2
        assert (start, end) == ([0, 0], [1, 1]) and len(row["roc"]) <= 102
        assert area == pytest.approx(row["auc"], abs=1e-3)


def test_nearer_members_give_an_area_below_one_half_and_the_published_one_mirrored():
    result = attack(method="boundary").run(Brightness(), data(inside=0.05, outside=0.12))
    assert value(result, "boundary_auc") < 0.05
    assert value(result, "boundary_auc_mirrored") == pytest.approx(1 - value(result, "boundary_auc"))
    assert value(result, "boundary_auc_low") <= value(result, "boundary_auc") <= value(result, "boundary_auc_high")


def test_members_like_non_members_give_about_one_half():
    result = attack(sample_num=60).run(Brightness(), data(inside=0.08, outside=0.08))
    assert value(result, "boundary_auc_low") < 0.5 < value(result, "boundary_auc_high")


def test_the_result_can_be_repeated_from_the_files(tmp_path):
    result = attack(method=("boundary", "loss")).run(Brightness(), data(), Setup(folder=tmp_path))
    with np.load(result.files["scores"]) as file:
        member, linf, loss = (torch.from_numpy(file[name]) for name in ("member", "score_boundary", "score_loss"))
        assert int(file["queries"].sum()) == result.counts["queries"]
    assert value(result, "boundary_auc") == pytest.approx(auc(linf[member], linf[~member]))
    assert value(result, "loss_auc") == pytest.approx(auc(loss[member], loss[~member]))
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_sample(tmp_path):
    dataset, model = data(), Brightness()
    confidence = model(dataset.valid.pixels()).double().softmax(1).amax(1).detach()
    band = tuple(confidence.quantile(torch.tensor([0.2, 0.8], dtype=torch.float64)).tolist())
    options = {"method": "confidence", "confidence_filter": "published", "confidence_band": band, "sample_num": 15}
    attack(**options).run(model, dataset, Setup(folder=tmp_path))
    generator = np.random.RandomState(30)
    training = np.arange(60)
    generator.shuffle(training)
    passing = np.array([i for i, c in enumerate(confidence.tolist()) if band[0] <= c <= band[1]])
    generator.shuffle(passing)
    with np.load(tmp_path / "scores.npz") as file:
        assert file["index"].tolist() == [*training[:15], *passing[:15]]
        assert file["member"].tolist() == [True] * 15 + [False] * 15


def test_the_filter_can_apply_to_both_sides(tmp_path):
    dataset, model = data(inside=0.08, outside=0.08), Brightness()
    middle = [0.9985, 0.9995]
    options = {"method": "confidence", "confidence_filter": "both", "confidence_band": middle, "sample_num": 10}
    attack(**options).run(model, dataset, Setup(folder=tmp_path))
    with np.load(tmp_path / "scores.npz") as file:
        assert ((file["score_confidence"] >= middle[0]) & (file["score_confidence"] <= middle[1])).all()


def test_the_published_filter_is_noted_and_what_it_did(tmp_path):
    """Members and non-members are alike, but for the choice."""
    alike = data(inside=0.05, outside=0.05, count=200)
    options = {"method": ("loss", "confidence"), "confidence_filter": "published", "confidence_band": (0.97, 1.0)}
    told = attack(**options).run(Brightness(30.0), alike)
    assert value(told, "loss_auc") < 0.5 < value(told, "loss_auc_mirrored")
    assert "an AUC below 0.5 (loss, confidence; mirrored above) is a sign" in summary(told)
    assert "--confidence_filter none" in summary(told)
    farther = attack(**options).run(Brightness(30.0), data(inside=0.2, outside=0.05, count=200))
    assert value(farther, "loss_auc") > 0.5 and "note: " in summary(farther) and "below 0.5" not in summary(farther)
    for sides in ("none", "both"):
        assert "note: " not in summary(attack(**{**options, "confidence_filter": sides}).run(Brightness(30.0), alike))


def test_an_empty_band_says_how_to_widen_it():
    message = (
        r"0 of 60 validation images have a top confidence in \[0.999999, 1\], 10 are needed: "
        r"--confidence_band 0.9,1 would hold \d+ of them, --confidence_filter none takes all"
    )
    default = {"method": ("loss",), "confidence_filter": "published", "confidence_band": (0.999999, 1.0)}
    with pytest.raises(UserError, match=message):
        attacks.create("membership", **default).run(Brightness(), data())
    with pytest.raises(UserError, match="10 are needed: --confidence_filter none takes all"):  # 0.9 to 1 holds none
        attacks.create("membership", **default).run(Brightness(sharpness=0.1), data())
    with pytest.raises(UserError, match="60 of 60 validation .* 61 are needed"):
        dataset = ImageDataset("grey", NAMES, split(61, 0.1, 0), split(60, 0.1, 1), (0.0,) * 3, (1.0,) * 3)
        attack(method="loss", confidence_filter="published", confidence_band=(0.5, 1.0), sample_num=61).run(
            Brightness(), dataset
        )


def test_the_default_number_takes_what_there_is_and_an_explicit_one_insists():
    result = attacks.create("membership", confidence_filter="none", method="loss").run(Brightness(), data(count=30))
    assert result.counts["members"] == result.counts["non_members"] == 30
    with pytest.raises(UserError, match="sample_num: 50 training images wanted, 30 there"):
        attack(sample_num=50).run(Brightness(), data(count=30))
    with pytest.raises(UserError, match="sample_num: 50 training images wanted .and at least 10 needed., 9 there"):
        attacks.create("membership", confidence_filter="none").run(Brightness(), data(count=9))


def test_misclassified_images_are_counted_and_kept_or_score_nothing(tmp_path):
    dataset = data(wrong=30)
    kept = attack(method="boundary", sample_num=60).run(Brightness(), dataset, Setup(folder=tmp_path / "keep"))
    zero = attack(method="boundary", sample_num=60, misclassified="zero").run(
        Brightness(), dataset, Setup(folder=tmp_path / "zero")
    )
    assert kept.counts["members_misclassified"] == zero.counts["members_misclassified"] == 30
    assert kept.counts["non_members_misclassified"] == 0
    with np.load(tmp_path / "keep/scores.npz") as keep, np.load(tmp_path / "zero/scores.npz") as nought:
        wrong = keep["label"] != keep["prediction"]
        assert (keep["score_boundary"] > 0).all()
        assert (nought["score_boundary"][wrong] == 0).all()
        assert (nought["queries"][wrong] == 1).all()
        assert np.array_equal(nought["score_boundary"][~wrong], keep["score_boundary"][~wrong])
        searched = keep["member"] & ~wrong
        assert zero.metrics["member_median_linf"].count == searched.sum() == 30
        assert value(zero, "member_median_linf") == pytest.approx(255 * np.median(keep["linf"][searched]))
    assert value(zero, "boundary_auc") < value(kept, "boundary_auc")


class Lopsided(Brightness):
    """Random images are always bright to it, so that no start is found for bright ones."""

    def forward(self, x):
        margin = self.sharpness * (x.mean((1, 2, 3)) - 0.42)
        return torch.stack([-margin, margin], 1)


def test_failures_are_counted_and_kept_out(tmp_path):
    result = attack(method=("boundary", "loss"), sample_num=40).run(
        Lopsided(), data(outside=0.12), Setup(folder=tmp_path)
    )
    with np.load(tmp_path / "scores.npz") as file:
        lost = ~file["found"]
        assert 10 < lost.sum() < 70
        assert np.isnan(file["score_boundary"][lost]).all()
        assert (file["score_boundary"][~lost] > 0).all()
    counts = result.counts
    assert counts["members_without_boundary"] + counts["non_members_without_boundary"] == lost.sum()
    assert result.metrics["boundary_auc"].count == 80 - lost.sum()
    assert result.metrics["loss_auc"].count == 80


def test_where_nothing_is_found_there_is_no_area():
    class Certain(Brightness):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    with pytest.raises(UserError, match=r"no random image .* 20 of 20 members: raise --init_size \(now 10\)"):
        attack().run(Certain(), data())


def test_the_query_cap_is_kept_and_counted():
    result = attack(method="boundary", max_queries=40).run(Brightness(), data())
    assert result.counts["queries"] <= 40 * 40
    assert result.counts["members_query_cap_reached"] == 20


def test_the_rate_at_few_false_positives_needs_a_hundred_non_members():
    few, many = (
        attack(method="loss", sample_num=n).run(Brightness(), data(count=100)).metrics["loss_tpr_at_1_fpr"]
        for n in (99, 100)
    )
    assert few.value is None
    assert many.value > 95 and many.unit == "%"


def test_a_diverged_network_has_no_result():
    with pytest.raises(NonFiniteOutput):
        attack(method="loss").run(Brightness(float("nan")), data())


def test_a_sample_s_size_and_batch_do_not_change_an_image_s_score(tmp_path):
    scores = []
    for number, options in enumerate(({}, {"query_batch": 3}, {"sample_num": 8})):
        attack(method="boundary", **options).run(Brightness(), data(), Setup(folder=tmp_path / str(number)))
        with np.load(tmp_path / str(number) / "scores.npz") as file:
            scores.append(dict(zip(file["index"][file["member"]].tolist(), file["linf"][file["member"]], strict=True)))
    assert scores[0] == scores[1]
    assert all(scores[0][index] == score for index, score in scores[2].items()) and len(scores[2]) == 8
    assert image_seed(1, 1, 7) != image_seed(1, 0, 7) != image_seed(2, 0, 7)


def test_members_can_be_varied():
    dataset = data(inside=0.12, outside=0.12)
    plain, varied = (
        attack(method="boundary", augment_members=choice).run(Brightness(), dataset) for choice in (False, True)
    )
    # The crop fills up with black, which moves these images across the plane.
    assert value(varied, "member_median_l2") != pytest.approx(value(plain, "member_median_l2"), rel=0.02)
    assert value(varied, "non_member_median_l2") == value(plain, "non_member_median_l2")


def test_how_a_member_is_varied_does_not_depend_on_the_others():
    dataset, drawn = data(), {}
    for number in (10, 20):
        rule = attack(sample_num=number)._rule(5)
        with questioned(Brightness(), None) as victim:
            drawn[number] = rule.draw(victim, dataset, Augmentation(), 5)
    assert torch.equal(drawn[10].images[:10], drawn[20].images[:10])
    pixels = dataset.train.pixels(drawn[20].index[:20])
    moved = [not torch.equal(*pair) for pair in zip(drawn[20].images[:20], pixels, strict=True)]
    assert sum(moved) > 15


def test_baselines_by_hand():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    labels = torch.tensor([1, 2])
    for row, logit in enumerate(logits.tolist()):
        total = sum(np.exp(v) for v in logit)
        p = [np.exp(v) / total for v in logit]
        assert baseline("confidence", logits, labels)[row].item() == pytest.approx(max(p))
        assert baseline("entropy", logits, labels)[row].item() == pytest.approx(sum(q * np.log(q) for q in p))
        assert baseline("loss", logits, labels)[row].item() == pytest.approx(np.log(p[labels[row]]))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"confidence_band": (0.9, 0.5)}, "confidence_band must be two numbers"),
        ({"method": ("loss", "loss")}, "method names one twice"),
        ({"init_eval": 200}, "init_eval must be at most max_eval"),
        ({"method": ()}, "method"),
        ({"method": "threshold"}, "method"),
    ],
)
def test_options_that_cannot_be_meant(options, message):
    with pytest.raises(OptionError, match=message):
        attacks.create("membership", **options)


def test_art_is_a_second_engine():
    pytest.importorskip("art")
    own, theirs = (
        attack(method="boundary", engine=engine, sample_num=8).run(Brightness(), data()) for engine in ("native", "art")
    )
    assert value(theirs, "mean_queries") == pytest.approx(value(own, "mean_queries"), rel=0.12)
    assert value(theirs, "member_median_l2") == pytest.approx(value(own, "member_median_l2"), rel=0.3)
    assert value(theirs, "boundary_auc") > 0.9


def test_the_command(tmp_path, monkeypatch, capsys):
    from autovul.membership import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny_membership.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    model = models.create("tiny_membership:build", dataset=datasets.create("digits"))
    model.save("data/model/image/digits/tiny_membership.build.pth")
    common = ["-d", "digits", "-m", "tiny_membership:build", "--device", "cpu"]
    assert main([*common, "--method", "loss,entropy", "--confidence_filter", "none"]) == 0
    assert "entropy auc" in capsys.readouterr().out
    assert len(list(tmp_path.glob("data/result/membership/*.json"))) == 1
    assert main(common) == 1
    assert "have a top confidence in [0.999, 0.99999]" in capsys.readouterr().err
    assert main([*common, "--suffix", "_x"]) == 1
    assert "train them with `python -m autovul.train" in capsys.readouterr().err


def test_a_repetition_chooses_other_images_unless_told(tmp_path):
    def chosen(name, seed, **options):
        attack(method="loss", sample_num=15, **options).run(
            Brightness(), data(), Setup(seed=seed, folder=tmp_path / name)
        )
        with np.load(tmp_path / name / "scores.npz") as file:
            return file["index"].tolist()

    published = chosen("a", 1228)
    assert chosen("b", 1228, sample_seed=30) == chosen("c", 1229, sample_seed=30) == published
    assert chosen("d", 1229) == chosen("e", 1229, sample_seed=31) != published


def test_at_most_takes_what_there_is():
    result = attack(sample_num=50, at_most=True).run(Brightness(), data(count=30))
    assert result.counts["members"] == result.counts["non_members"] == 30
    with pytest.raises(UserError, match="9 there"):
        attack(sample_num=50, at_most=True).run(Brightness(), data(count=9))


def test_another_default_type_does_no_harm():
    """What is drawn differs, and the distances a little; members are farther away all the same."""
    attack = attacks.create("membership", sample_num=8, confidence_filter="none")
    model = Brightness()
    torch.set_default_dtype(torch.float64)
    try:
        metrics = attack.run(model, data()).metrics
    finally:
        torch.set_default_dtype(torch.float32)
    assert metrics["boundary_auc"].value == 1.0
