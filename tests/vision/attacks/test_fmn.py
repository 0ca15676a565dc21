"""The nearest adversarial examples: a linear model's are known, a slow twin, foolbox, and PGD within the distance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.base.result import Result
from autovul.vision import attacks
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.evasion.distances import Distances
from autovul.vision.attacks.evasion.minimum_norm import Nearest
from tests.vision.attacks.test_pgd import small_network


class Linear(nn.Module):
    """Three classes; how far an image is from each other class is known in closed form."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 192, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64))

    def forward(self, x):
        return (x.flatten(1) - 0.5) @ self.weight.T + self.bias

    def distance(self, images, source, goal, dual):
        """To where the logits of two classes are equal, while the border of [0, 1] is far."""
        logits = self(images).detach()
        rows = torch.arange(len(images))
        apart = (logits[rows, source] - logits[rows, goal]).clamp_min(0)
        return apart / torch.linalg.vector_norm(self.weight.detach()[source] - self.weight.detach()[goal], dual, dim=1)


@pytest.fixture
def images():
    return torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def inner_images():
    generator = torch.Generator().manual_seed(1)
    return 0.4 + 0.2 * torch.rand(12, 3, 8, 8, generator=generator, dtype=torch.float64)


def measured(adversarial, images, norm):
    return torch.linalg.vector_norm((adversarial - images).flatten(1), math.inf if norm == "inf" else 2, dim=1)


@pytest.mark.parametrize("norm, dual", [("inf", 1), ("2", 2)])
def test_untargeted_it_goes_to_the_nearest_other_class_of_a_linear_model(norm, dual, inner_images):
    model = Linear()
    labels = model(inner_images).argmax(1)
    adversarial, steps = attacks.create("fmn", norm=norm).perturb(model, inner_images, labels)
    others = [model.distance(inner_images, labels, (labels + turn) % 3, dual) for turn in (1, 2)]
    expected = torch.minimum(*others)
    assert (steps > 0).all() and (model(adversarial).argmax(1) != labels).all()
    found = measured(adversarial, inner_images, norm)
    assert (found >= expected * (1 - 1e-9)).all(), "nothing is nearer than the nearest"
    assert found.tolist() == pytest.approx(expected.tolist(), rel=0.01)


@pytest.mark.parametrize("norm, dual", [("inf", 1), ("2", 2)])
def test_targeted_it_goes_where_that_class_wins(norm, dual, inner_images):
    model = Linear()
    logits = model(inner_images)
    goal, labels = logits.argmin(1), logits.argmax(1)
    adversarial, _ = attacks.create("fmn", norm=norm, target_idx=-1).perturb(model, inner_images, goal)
    assert (model(adversarial).argmax(1) == goal).all()
    # Past the third class as well, the border is no nearer than towards the one class alone.
    alone = model.distance(inner_images, labels, goal, dual)
    found = measured(adversarial, inner_images, norm)
    assert (found >= alone * (1 - 1e-9)).all() and (found < 1.5 * alone).all()


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("steps", [20, 100])
def test_at_the_border_of_the_pixels_range_it_does_not_come_to_rest(norm, steps):
    """Steps that the border takes away must not count as progress: a linear model is crossed from everywhere."""
    images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64).round()
    model = Linear()
    with torch.no_grad():
        model.weight[0] += 0.3 * (images - 0.5).flatten(1).mean(0)
    labels = model(images).argmax(1)
    _, found = attacks.create("fmn", norm=norm, iteration=steps).perturb(model, images, labels)
    assert (found >= 0).all()


def twin(model, image, label, norm, steps, alpha=1.0, gamma=0.05):
    """Algorithm 1 for one image, step by step."""
    p, q = (math.inf, 1) if norm == "inf" else (2, 2)

    def length(vector, order):
        return torch.linalg.vector_norm(vector.flatten(), order).item()

    delta, eps, best, nearest = torch.zeros_like(image), math.inf, math.inf, None
    for k in range(steps + 1):
        x = (image + delta).detach().requires_grad_()
        logits = model(x[None])[0]
        loss = logits[label] - max(logits[i] for i in range(len(logits)) if i != label)
        errs = loss.item() < 0
        if errs and length(delta, p) < best:
            best, nearest = length(delta, p), x.detach()
        if k == steps:
            break
        (gradient,) = torch.autograd.grad(loss, x)
        for place in range(x.numel()):
            pixel, slope = x.flatten()[place].item(), gradient.flatten()[place].item()
            if (pixel <= 0 and slope > 0) or (pixel >= 1 and slope < 0):
                gradient.view(-1)[place] = 0.0
        cosine = (1 + math.cos(math.pi * k / steps)) / 2
        g, a = 0.001 + (gamma - 0.001) * cosine, alpha / 100 + (alpha - alpha / 100) * cosine
        if errs:
            eps = min(eps * (1 - g), best)
        elif best < math.inf:
            eps = eps * (1 + g)
        else:
            eps = 1.001 * (length(delta, p) + loss.item() / length(gradient, q))
        delta = delta - a * gradient / length(gradient, 2)
        delta = delta.clamp(-eps, eps) if norm == "inf" else delta * min(1.0, eps / length(delta, 2))
        delta = (image + delta).clamp(0, 1) - image
    return nearest, best


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_it_is_the_slow_twin(norm, images):
    model = small_network().eval().double()
    images = images.double()
    labels = model(images).argmax(1)
    adversarial, _ = attacks.create("fmn", norm=norm, iteration=20).perturb(model, images, labels)
    for image, label, found in zip(images, labels.tolist(), adversarial, strict=True):
        expected, distance = twin(model, image, label, norm, 20)
        assert distance < math.inf
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_it_is_no_farther_than_foolbox(images):
    foolbox = pytest.importorskip("foolbox")
    model = small_network().eval()
    labels = model(images).argmax(1)
    adversarial, _ = attacks.create("fmn").perturb(model, images, labels)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, theirs, success = foolbox.attacks.LInfFMNAttack(steps=100)(wrapped, images, labels, epsilons=None)
    assert bool(success.all())
    ours, others = (measured(found, images, "inf").median().item() for found in (adversarial, theirs))
    assert ours <= 1.02 * others


def test_pgd_finds_nothing_much_nearer(images):
    model = small_network().eval()
    labels = model(images).argmax(1)
    adversarial, _ = attacks.create("fmn", iteration=300).perturb(model, images, labels)
    found = {0.95: 0, 1.2: 0}
    for image, label, distance in zip(images, labels, measured(adversarial, images, "inf").tolist(), strict=True):
        for share in found:
            options = {"target_idx": 0, "iteration": 200, "num_restart": 2, "pgd_alpha": distance / 20}
            pgd = attacks.create("pgd", pgd_eps=share * distance, **options)
            found[share] += int(pgd.perturb(model, image[None], label[None])[1].item() >= 0)
    assert found[0.95] == 0 and found[1.2] >= 9, "of 12; PGD is the weaker of the two"


def test_what_comes_back(images):
    model = small_network().eval()
    labels = model(images).argmax(1)
    labels[0] = (labels[0] + 1) % 5  # wrong before anything is changed
    attack = attacks.create("fmn", iteration=30)
    adversarial, steps = attack.perturb(model, images, labels)
    assert steps[0] == 0 and torch.equal(adversarial[0], images[0])
    assert (steps[1:] > 0).all() and (steps <= 30).all()
    assert (model(adversarial).argmax(1) != labels).all()
    assert adversarial.min() >= 0 and adversarial.max() <= 1
    one_by_one = torch.cat([attack.perturb(model, images[i : i + 1], labels[i : i + 1])[0] for i in range(12)])
    torch.testing.assert_close(one_by_one, adversarial, rtol=0, atol=1e-4)
    assert attack.perturb(model, images[:0], labels[:0])[0].shape == (0, 3, 8, 8)


def test_the_model_is_left_alone(images):
    model = small_network().train()
    labels = torch.arange(12) % 5
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attacks.create("fmn", iteration=3).perturb(model, images, labels)
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Steps(nn.Module):
    """Rounds its input, so that every gradient is 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x):
        return torch.round(x * 255).mean((2, 3)) @ self.weight


def test_figures_are_those_of_the_distances(dataset, trained, tmp_path):
    attack = attacks.create("fmn", iteration=20)
    result = attack.run(trained, dataset, Setup(attack_batch=7, folder=tmp_path))
    split = dataset.attack_split()
    right = trained(split.pixels()).argmax(1) == split.labels
    images, labels = split.pixels()[right], split.labels[right]
    adversarial, steps = attack.perturb(trained, images, labels)
    assert (steps > 0).all()
    distances = (255 * measured(adversarial, images, "inf")).double()
    names = ("lower_quartile_distance", "median_distance", "upper_quartile_distance")
    for name, share in zip(names, (0.25, 0.5, 0.75), strict=True):
        metric = result.metrics[name]
        assert (metric.unit, metric.count) == ("/255", len(images))
        assert metric.value == pytest.approx(distances.quantile(share).item(), rel=1e-3)
    assert [row["percent"] for row in result.series] == [*range(1, 101)]
    for row in result.series:
        assert (distances <= row["distance"] * 1.001).double().mean() >= row["percent"] / 100
    assert result.series[-1]["distance"] == pytest.approx(distances.max().item(), rel=1e-3)
    count = len(images)
    assert result.counts == {
        "images": count, "without_adversarial": 0, "zero_gradients": 0, "forward": 21 * count, "backward": 20 * count,
        "selection": len(split),
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"examples.png", "distances.png"}
    assert Result.from_json(result.to_json()).metrics == dict(result.metrics)


def test_images_without_an_adversarial_example_are_infinitely_far():
    def found(*distances):
        values = torch.tensor(distances)
        nearest = Nearest.begin(torch.zeros(len(values), 3, 4, 4), torch.zeros(len(values), dtype=torch.int64))
        nearest.distances, nearest.flat = values, torch.zeros(len(values), dtype=torch.bool)
        tally = Distances("2")
        for part in (slice(0, 2), slice(2, None)):
            some = Nearest.begin(nearest.images[part], nearest.classes[part])
            some.distances, some.flat = values[part], nearest.flat[part]
            tally.add(nearest.images[part], nearest.classes[part], some)
        return tally

    tally = found(4.0, math.inf, 1.0, 2.0, math.inf)
    values = {name: metric.value for name, metric in tally.metrics().items()}
    assert values == {"lower_quartile_distance": 2, "median_distance": 4, "upper_quartile_distance": None}
    assert tally.metrics()["median_distance"].unit == "pixels"
    assert tally.counts()["without_adversarial"] == 2
    curve = {row["percent"]: row["distance"] for row in tally.curve()}
    assert (curve[1], curve[20], curve[21], curve[60], max(curve)) == (1, 1, 2, 4, 60)


def test_a_run_that_finds_nothing_is_drawn_and_told(dataset, trained, tmp_path):
    attack = attacks.create("fmn", iteration=1, fmn_alpha=1e-6)
    result = attack.run(trained, dataset, Setup(folder=tmp_path))
    assert result.counts["without_adversarial"] == result.counts["images"]
    assert not result.series and {metric.value for metric in result.metrics.values()} == {None}
    assert (tmp_path / "distances.png").stat().st_size > 0


def test_what_says_nothing_of_robustness_is_refused(dataset, trained):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.asked, self.weight = 0, nn.Parameter(torch.ones(1))

        def forward(self, x):
            self.asked += 1
            logits = trained(x) * self.weight
            return logits if self.asked < 6 else logits * torch.nan

    with pytest.raises(NonFiniteOutput, match="diverged"):
        attacks.create("fmn", test_num=4).run(Broken(), dataset, Setup(attack_batch=10))
    images, labels = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="target must be from 0 to 4, got 5"):
        attacks.create("fmn").perturb(small_network(), images, labels + 5)
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        attacks.create("fmn").perturb(small_network(), 255 * images, labels)
    with pytest.raises(OptionError, match="fmn_gamma"):
        attacks.create("fmn", fmn_gamma=1.0)


def test_a_model_without_gradients_is_refused(dataset):
    with pytest.raises(
        UserError, match=r"the gradient is 0 for all \d+ images.*--attack hop_skip_jump needs no gradient"
    ):
        attacks.create("fmn", iteration=3).run(Steps(), dataset)
