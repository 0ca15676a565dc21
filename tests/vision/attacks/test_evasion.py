"""The protocol of adversarial examples: which images, which targets, what the figures count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.base.summary import summary
from autovul.vision import attacks, models
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.evasion.pictures import draw_adversarial
from autovul.vision.datasets import ImageDataset, ImageSplit

COLOURS = 3


class Brightest(nn.Module):
    """Says which colour channel is the brightest on average, with a given sharpness."""

    def __init__(self, sharpness=40.0):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))

    def forward(self, x):
        return self.sharpness * x.mean((2, 3))


@pytest.fixture
def dataset():
    """Images of one dominant colour; the label is that colour, but for every fifth image, whose label is wrong."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(COLOURS, (200,), generator=generator)
    images = torch.randint(60, 120, (200, 3, 8, 8), generator=generator)
    images[torch.arange(200), labels] += 40
    labels = torch.where(torch.arange(200) % 5 == 0, (labels + 1) % COLOURS, labels)
    split = ImageSplit(images.to(torch.uint8), labels)
    return ImageDataset("colours", ["red", "green", "blue"], split, split, (0.0,) * 3, (1.0,) * 3)


def rate(result, name):
    return result.metrics[name].value


def test_only_correctly_classified_images_are_attacked(dataset):
    result = attacks.create("pgd").run(Brightest(), dataset)
    split = dataset.attack_split()
    correct = int((Brightest()(split.pixels()).argmax(1) == split.labels).sum())
    assert 0 < correct < len(split)
    assert result.counts["images"] == correct
    assert all(metric.count == correct for metric in result.metrics.values())
    assert rate(result, "original_confidence_before") > 90


def test_figures_agree_with_an_explicit_count(dataset):
    attack = attacks.create("pgd", pgd_eps=0.1, pgd_alpha=0.02, iteration=5, stop_threshold=0.9, require_class=True)
    model = Brightest()
    result = attack.run(model, dataset)
    split = dataset.attack_split()
    logits = model(split.pixels())
    right = logits.argmax(1) == split.labels
    images, labels, target = split.pixels()[right], split.labels[right], logits[right].argmin(1)
    adversarial, iterations = attack.perturb(model, images, target)
    after = model(adversarial).softmax(1)
    confidence = after.gather(1, target[:, None])
    success = (confidence.squeeze(1) > 0.9) & (after.argmax(1) == target)
    assert 0 < int(success.sum()) < len(success)
    assert rate(result, "success_rate") == pytest.approx(100 * success.double().mean().item())
    assert rate(result, "targeted_success_rate") == pytest.approx(
        100 * (after.argmax(1) == target).double().mean().item()
    )
    assert rate(result, "misclassification_rate") == pytest.approx(
        100 * (after.argmax(1) != labels).double().mean().item()
    )
    assert rate(result, "target_confidence_after") == pytest.approx(100 * confidence.mean().item(), rel=1e-5)
    steps = [step if step >= 0 else 10 for step in iterations.tolist()]
    assert rate(result, "mean_iterations") == pytest.approx(sum(steps) / len(steps))


def test_a_larger_radius_never_helps_less(dataset):
    rates = [
        rate(attacks.create("pgd", pgd_eps=eps, pgd_alpha=eps / 4).run(Brightest(), dataset), "targeted_success_rate")
        for eps in (0.01, 0.04, 0.08, 0.16)
    ]
    assert rates == sorted(rates)
    assert rates[0] < 20
    assert rates[-1] > 80


def test_batch_size_and_repetition_change_nothing(dataset):
    attack = attacks.create("pgd", pgd_eps=0.08)
    first, again, small = (attack.run(Brightest(), dataset, Setup(attack_batch=size)) for size in (100, 100, 7))
    assert first.metrics == again.metrics
    assert {n: m.value for n, m in small.metrics.items()} == pytest.approx(
        {n: m.value for n, m in first.metrics.items()}, rel=1e-5
    )
    assert first.counts["images"] == small.counts["images"]


def test_the_default_number_takes_what_there_is_and_an_explicit_one_insists(dataset):
    assert attacks.create("pgd").run(Brightest(), dataset).counts["images"] < 1000
    assert attacks.create("pgd", test_num=10).run(Brightest(), dataset).counts["images"] == 10
    with pytest.raises(UserError, match=r"colours: 1000 correctly classified images to attack asked for, \d+ there"):
        attacks.create("pgd", test_num=1000).run(Brightest(), dataset)


@pytest.mark.parametrize("rank,column", [(-1, -1), (1, 1), (0, 0), (-2, -2)])
def test_target_by_rank(rank, column):
    logits = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
    expected = [sorted(range(5), key=lambda c, row=row: -row[c])[column] for row in logits.tolist()]
    assert attacks.create("pgd", target_idx=rank).choose_target(logits).tolist() == expected


def test_target_class(dataset):
    attack = attacks.create("pgd", target_class=2)
    result = attack.run(Brightest(), dataset)
    split = dataset.attack_split()
    right = Brightest()(split.pixels()).argmax(1) == split.labels
    assert result.counts["images"] == int((right & (split.labels != 2)).sum())
    with pytest.raises(OptionError, match="target_class must be from 0 to 2, got 3"):
        attacks.create("pgd", target_class=3).run(Brightest(), dataset)
    with pytest.raises(OptionError, match="target_idx must be from -2 to 2, got 3"):
        attacks.create("pgd", target_idx=3).run(Brightest(), dataset)
    with pytest.raises(OptionError, match="target_idx must be from -2 to 2, got -3"):  # rank -3 of three is rank 0
        attacks.create("pgd", target_idx=-3).run(Brightest(), dataset)


def test_untargeted_figures(dataset):
    result = attacks.create("pgd", target_idx=0, pgd_eps=0.16, pgd_alpha=0.04, require_class=True).run(
        Brightest(), dataset
    )
    assert "targeted_success_rate" not in result.metrics
    assert rate(result, "misclassification_rate") == rate(result, "success_rate") == 100


def test_without_stop_condition_there_is_no_such_success(dataset):
    result = attacks.create("pgd", stop_threshold=None, pgd_eps=0.16, pgd_alpha=0.04).run(Brightest(), dataset)
    assert "success_rate" not in result.metrics
    assert rate(result, "targeted_success_rate") > 80


def test_a_diverged_network_has_no_result(dataset):
    model = Brightest(float("nan"))
    with pytest.raises(NonFiniteOutput):
        attacks.create("pgd").run(model, dataset)


def test_a_network_that_is_never_right_has_no_result(dataset):
    all_blue = replace(dataset, valid=ImageSplit(dataset.valid.images, torch.full((200,), 2)))
    with pytest.raises(UserError, match="there are no correctly classified images"):
        attacks.create("pgd").run(Brightest(0.0), all_blue)


def test_examples_are_drawn(dataset, tmp_path):
    result = attacks.create("pgd", test_num=3).run(Brightest(), dataset, Setup(folder=tmp_path))
    assert result.files["examples"] == str(tmp_path / "examples.png")
    assert (tmp_path / "examples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_images_of_any_number_of_channels_are_drawn(channels, tmp_path):
    clean, labels = torch.rand(3, channels, 8, 8), torch.arange(3)
    draw_adversarial(tmp_path / "examples.png", clean, clean.flip(0), labels, labels, [*"abc"])
    assert (tmp_path / "examples.png").read_bytes().startswith(b"\x89PNG")


def test_failures_count_more_iterations_than_any_success(dataset):
    """Otherwise restarts would improve the mean by failing."""
    options = {"iteration": 3, "num_restart": 2, "pgd_eps": 1e-4, "pgd_alpha": 1e-4}
    result = attacks.create("pgd", **options).run(Brightest(), dataset)
    assert rate(result, "success_rate") == 0
    assert rate(result, "mean_iterations") == 2 * 3 * (1 + 2)


@pytest.mark.parametrize("name, copied", [("darts", True), ("bit_comp", False)])
def test_a_network_of_the_project_is_attacked_as_it_is_and_left_as_it_was(name, copied):
    torch.manual_seed(0)
    model = models.create(name, **({"layers": 2, "init_channels": 4} if name == "darts" else {"width": 0.125})).eval()
    pixels = torch.randint(256, (60, 3, 32, 32), dtype=torch.uint8)
    split = ImageSplit(pixels, model(pixels / 255).argmax(1))
    dataset = ImageDataset("its own answers", [*"0123456789"], split, split, (0.5,) * 3, (0.25,) * 3)
    strides = [parameter.stride() for parameter in model.parameters()]
    seen = set()
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    last.register_forward_pre_hook(lambda layer, _: seen.add(layer is not last))

    attack = attacks.create("pgd", pgd_eps=0.1, pgd_alpha=0.02, stop_threshold=0.15)
    found = attack.run(model, dataset)
    assert seen == {copied}
    assert [parameter.stride() for parameter in model.parameters()] == strides
    plain = attack.run(nn.Sequential(model), dataset)  # which is none of the project's, and taken as it is
    assert found.metrics.keys() == plain.metrics.keys() and found.model == model.name
    for metric, value in plain.metrics.items():
        assert found.metrics[metric].value == pytest.approx(value.value, abs=1e-2), metric


def test_a_model_may_have_more_classes(dataset):
    wider = nn.Linear(COLOURS, COLOURS + 2)
    with torch.no_grad():
        wider.weight.copy_(torch.eye(COLOURS + 2, COLOURS))
        wider.bias.fill_(-50.0)[:COLOURS] = 0.0
    result = attacks.create("pgd").run(nn.Sequential(Brightest(), wider), dataset)
    assert result.counts == attacks.create("pgd").run(Brightest(), dataset).counts


class Masked(Brightest):
    """Lets no gradient through for images whose first pixel is at most ``above``; their colours decide all the same."""

    def __init__(self, above):
        super().__init__()
        self.above = above

    def forward(self, x):
        open_to_gradients = (x[:, :1, :1, :1] > self.above).to(x.dtype)
        return super().forward(open_to_gradients * x + (1 - open_to_gradients) * x.detach())


def test_a_gradient_that_is_0_everywhere_is_refused_and_not_taken_for_robustness(dataset):
    with pytest.raises(
        UserError, match=r"the gradient is 0 for all \d+ images .* hop_skip_jump needs no gradient; --grad_method nes"
    ):
        attacks.create("pgd").run(Masked(above=2.0), dataset)
    estimated = attacks.create("pgd", grad_method="nes", pgd_eps=0.3, pgd_alpha=0.1, query_num=50)
    found = estimated.run(Masked(above=2.0), dataset)
    assert rate(found, "misclassification_rate") > 0
    assert "success rates are lower bounds" in found.environment["notes"][0] in summary(found)
    with pytest.raises(UserError, match="does not change within sigma .* --attack hop_skip_jump"):
        attacks.create("pgd", grad_method="nes").run(Steps(), dataset)


class Steps(Brightest):
    """Sees colours rounded to a quarter."""

    def forward(self, x):
        return super().forward(
            (4 * x.mean((2, 3), keepdim=True)).round() / 4 + 0.001 * torch.arange(3.0).view(1, 3, 1, 1)
        )


def test_images_without_gradient_are_counted(dataset):
    above = 0.34
    split = dataset.attack_split()
    right = Brightest()(split.pixels()).argmax(1) == split.labels
    masked = int((split.pixels()[right][:, 0, 0, 0] <= above).sum())
    assert 5 < masked < int(right.sum()) - 5
    attack = attacks.create("pgd", pgd_eps=0.1, pgd_alpha=0.1, stop_threshold=None)
    found = attack.run(Masked(above), dataset).counts["zero_gradients"]
    assert found == masked, "and not those that a step has moved to where it is flat"
    again = attacks.create("pgd", pgd_eps=0.3, num_restart=1, stop_threshold=None).run(Masked(above), dataset)
    assert 0 < again.counts["zero_gradients"] < masked, "a random start leaves the flat part, for half of them"


def test_images_that_are_done_at_once_do_not_hide_that_none_was_moved(dataset):
    before = attacks.create("pgd", target_idx=1).run(Brightest(), dataset)
    usual = rate(before, "target_confidence_before") / 100
    attack = attacks.create("pgd", target_idx=1, stop_threshold=usual, require_class=False)
    assert attack.run(Brightest(), dataset).metrics["mean_iterations"].value > 0
    with pytest.raises(UserError, match="that did not succeed at once, so that none was moved"):
        attack.run(Masked(above=2.0), dataset)


def test_images_that_are_done_at_once_lack_no_gradient(dataset):
    easy = attacks.create("pgd", stop_threshold=0.0)
    assert easy.run(Masked(above=2.0), dataset).counts["zero_gradients"] == 0


def test_a_model_that_is_not_differentiable_is_refused(dataset):
    class Detached(Brightest):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(UserError, match="not differentiable in the image: --attack hop_skip_jump"):
        attacks.create("pgd").run(Detached(), dataset)


def test_passes_are_all_that_went_through_the_network(dataset):
    model, seen = Brightest(), []
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    result = attacks.create("pgd", iteration=3).run(model, dataset)
    assert result.counts["forward"] + result.counts["selection"] == sum(seen)
    assert result.counts["selection"] == len(dataset.attack_split())
    few = attacks.create("pgd", iteration=3, test_num=5).run(model, dataset, Setup(attack_batch=10))
    assert few.counts["selection"] in (10, 20), "no more images are asked than it takes to have five right"


def test_a_class_that_the_data_do_not_name_is_drawn_by_its_number(dataset, tmp_path, monkeypatch):
    class Fourth(Brightest):
        """Knows a fourth class, and says it once an image is darker than the data's."""

        def forward(self, x):
            return torch.cat([super().forward(x), self.sharpness * (0.65 - x.mean((1, 2, 3)))[:, None]], 1)

    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda ax, text, **kwargs: titles.append(text))
    attack = attacks.create("pgd", target_idx=-1, pgd_eps=0.2, pgd_alpha=0.1, require_class=True)
    attack.run(Fourth(), dataset, Setup(folder=tmp_path))
    assert any(title.endswith("→ 3") for title in titles)


@pytest.mark.parametrize("listens", [True, False])
def test_a_model_with_an_object_for_a_hook_is_attacked_itself(listens):
    """A copy of the model would tell a copy of the object, and the original would have heard nothing."""

    class Ear:
        heard = 0

        def __call__(self, module, inputs, output):
            self.heard += len(output)

    torch.manual_seed(0)
    model, ear = models.create("darts", layers=2, init_channels=4), Ear()
    if listens:
        model.register_forward_hook(ear)
    images = ImageSplit(torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8), torch.zeros(20, dtype=torch.int64))
    split = ImageSplit(images.images, model(images.pixels()).argmax(1))
    ear.heard = 0
    dataset = ImageDataset("its own answers", [*"0123456789"], split, split, (0.5,) * 3, (0.25,) * 3)
    result = attacks.create("pgd", iteration=1).run(model, dataset)
    assert ear.heard == (result.counts["forward"] + result.counts["selection"] if listens else 0)


def test_an_attack_that_leaves_the_pixels_range_is_told(dataset):
    from autovul.vision.attacks.evasion.attack import EvasionAttack
    from autovul.vision.attacks.evasion.perturbation import Perturbation

    class Wild(EvasionAttack):
        name = "wild"

        def _perturb(self, model, images, target, generator):
            outcome = Perturbation.begin(images, 1)
            outcome.images = images * 300
            return outcome

    with pytest.raises(ValueError, match=r"wild made pixels outside of \[0, 1\]"):
        Wild().run(Brightest(), dataset)


def test_what_an_attack_counts_itself_stays_when_its_outcome_is_judged(dataset):
    """One that tells after how many steps an image was done, and leaves the rest to the protocol."""
    from autovul.vision.attacks.evasion.attack import EvasionAttack
    from autovul.vision.attacks.evasion.perturbation import Perturbation

    class Half(EvasionAttack):
        name = "half"

        def _perturb(self, model, images, target, generator):
            outcome = Perturbation.begin(images, 5)
            outcome.iterations[0] = 2
            return outcome

    images = dataset.valid.pixels(slice(0, 3))
    top = Brightest()(images).argmax(1)
    attack = Half(stop_threshold=0.0, require_class=True)
    assert attack.perturb(Brightest(), images, top)[1].tolist() == [2, 5, 5]


def test_a_model_whose_gradients_are_no_numbers_has_diverged_whatever_becomes_of_the_pixels(dataset):
    class Broken(Brightest):
        def forward(self, x):
            return super().forward(x) + (x.mean((1, 2, 3)) * 0).sqrt()[:, None]  # 0, and its gradient NaN

    with pytest.raises(NonFiniteOutput, match="gradients or logits are not finite"):
        attacks.create("pgd", norm="2", pgd_eps=1.0, pgd_alpha=0.5).run(Broken(), dataset)


def test_attacks_work_in_inference_mode(dataset):
    attack = attacks.create("pgd", pgd_eps=0.1, pgd_alpha=0.02)
    expected = attack.run(Brightest(), dataset).metrics
    model, images = Brightest(), dataset.valid.pixels(slice(0, 4))
    made, _ = attack.perturb(model, images, torch.tensor([0, 1, 2, 0]))
    with torch.inference_mode():
        assert attack.run(model, dataset).metrics == expected
        again, _ = attack.perturb(model, dataset.valid.pixels(slice(0, 4)), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(again, made) and not torch.equal(made, images)


def test_a_ball_larger_than_the_range_of_a_pixel_is_refused(dataset):
    """On the command line 8 means 8/255; from Python it would let any image become any other."""
    with pytest.raises(
        OptionError, match=r"pgd_eps must be at most 1, the whole range of a pixel .*8/255, not 8\); got 8"
    ):
        attacks.create("pgd", pgd_eps=8).run(Brightest(), dataset)
    attacks.create("pgd", pgd_eps=8, norm="2", iteration=1).run(Brightest(), dataset)
