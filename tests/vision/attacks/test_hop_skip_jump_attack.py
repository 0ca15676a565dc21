"""HopSkipJump against images: a linear model's distances, networks that hide their gradients, budgets and figures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.vision import attacks
from autovul.vision.attacks.base import Setup
from tests.vision.attacks.test_fmn import Linear, inner_images, measured  # noqa: F401
from tests.vision.attacks.test_pgd import small_network


class SinglePrecision(Linear):
    """The linear model as a search by float32 sees it, its classes as numbers: there is no gradient."""

    def forward(self, x):
        logits = super().forward(x.double()).detach()
        return nn.functional.one_hot(logits.argmax(1), 3).float()


@pytest.fixture
def linear(inner_images):  # noqa: F811
    """A model, images, their classes, and images of each other class that are 1.5 times as far as the border."""
    exact = Linear()
    images = inner_images.float()
    labels = exact(images.double()).argmax(1)
    return exact, SinglePrecision(), images, labels


def over_the_border(exact, images, source, goal):
    """Images on the other side of the border between two classes, and how far it is by the dual norm."""
    weight = exact.weight.detach()
    normal = (weight[goal] - weight[source]).float()
    step = exact.distance(images.double(), source, goal, 2).float()
    return (images + (3 * step / normal.norm(dim=1)).view(-1, 1, 1, 1) * normal.view_as(images)).clamp(0, 1)


@pytest.mark.parametrize("norm, dual", [("inf", 1), ("2", 2)])
def test_untargeted_it_comes_near_the_border_of_a_linear_model_without_its_gradient(norm, dual, linear):
    exact, model, images, labels = linear
    others = [exact.distance(images.double(), labels, (labels + turn) % 3, dual) for turn in (1, 2)]
    expected = torch.minimum(*others)
    medians = []
    for queries in (500, 4000):
        attack = attacks.create("hop_skip_jump", norm=norm, max_queries=queries)
        adversarial, asked = attack.perturb(model, images, labels)
        assert (model(adversarial).argmax(1) != labels).all() and (asked <= queries).all() and (asked > 0).all()
        ratio = measured(adversarial, images, norm).double() / expected
        assert (ratio >= 1 - 1e-5).all(), "nothing is nearer than the nearest"
        medians.append(ratio.median().item())
    assert medians[1] < medians[0] and medians[1] < (1.3 if norm == "2" else 1.6)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_targeted_it_goes_where_that_class_wins(norm, linear):
    exact, model, images, labels = linear
    goal = exact(images.double()).argmin(1)
    starts = over_the_border(exact, images, labels, goal)
    attack = attacks.create("hop_skip_jump", norm=norm, target_idx=-1, max_queries=2000)
    adversarial, asked = attack.perturb(model, images, goal, starts=starts)
    served = model(starts).argmax(1) == goal
    assert int(served.sum()) >= 6 and (asked[served] > 0).all()
    found = asked > 0
    assert (model(adversarial).argmax(1) == goal)[found].all()
    assert torch.equal(adversarial[~found], images[~found])
    alone = exact.distance(images.double(), labels, goal, 1 if norm == "inf" else 2)
    assert (measured(adversarial, images, norm).double() >= alone * (1 - 1e-5))[found].all()
    nearer = measured(adversarial, images, norm) < measured(starts, images, norm)
    assert nearer[served].all()


class Rounded(nn.Module):
    """A network that sees its input in steps, so that its gradient is 0 everywhere."""

    def __init__(self, network, steps):
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, x):
        return self.network((x * self.steps).round() / self.steps)


def test_where_gradients_are_hidden_the_nearest_are_as_near_as_without(dataset, trained):
    """What rounding takes away is the gradient, not the adversarial examples: of half a step they are told at once."""
    distances = {}
    for name, model in {"plain": trained, "rounded": Rounded(trained, 64)}.items():
        attack = attacks.create("hop_skip_jump", norm="2", test_num=10, max_queries=1500, probe=1.0)
        distances[name] = attack.run(model, dataset).metrics["median_distance"].value
    fmn = attacks.create("fmn", norm="2", test_num=10)
    nearest = fmn.run(trained, dataset).metrics["median_distance"].value
    with pytest.raises(UserError, match="the gradient is 0 .* --attack hop_skip_jump needs no gradient"):
        fmn.run(Rounded(trained, 64), dataset)
    assert nearest < distances["plain"] < 1.5 * nearest
    assert distances["rounded"] < 1.2 * distances["plain"]


@pytest.mark.parametrize("target_idx", [0, 1])
def test_figures_are_those_of_the_distances(target_idx, dataset, trained, tmp_path):
    options = {"max_queries": 400, "target_idx": target_idx, "norm": "2"}
    result = attacks.create("hop_skip_jump", **options).run(trained, dataset, Setup(attack_batch=7, folder=tmp_path))
    again = attacks.create("hop_skip_jump", **options).run(trained, dataset, Setup(attack_batch=100))
    assert dict(again.metrics) == dict(result.metrics), "an image does not depend on the batch"
    count = result.counts["images"]
    median, queries = result.metrics["median_distance"], result.metrics["mean_queries"]
    assert (median.unit, median.count, queries.unit, queries.count) == ("pixels", count, "queries", count)
    assert 200 < queries.value <= 400
    assert result.counts["queries"] == pytest.approx(queries.value * count)
    # Each found image is looked at once more, for the pictures.
    assert result.counts["forward"] == result.counts["queries"] + count
    assert (result.counts["backward"], result.counts["without_adversarial"]) == (0, 0)
    assert result.series[-1]["percent"] == 100
    assert {path.name for path in tmp_path.iterdir()} == {"examples.png", "distances.png"}
    other = attacks.create("hop_skip_jump", **options).run(trained, dataset, Setup(seed=7))
    assert other.metrics["median_distance"] != median


def test_a_search_begins_at_the_nearest_image_of_a_fitting_class():
    images = torch.tensor([0.1, 0.2, 0.6, 0.5, 0.9]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    labels = torch.tensor([0, 0, 1, 2, 2])
    places = torch.tensor([1, 2, 4])
    untargeted = attacks.create("hop_skip_jump")._begin(places, labels[places], images, labels, 0)
    assert torch.equal(untargeted["starts"], images[[3, 3, 2]])
    targeted = attacks.create("hop_skip_jump", target_class=0)
    assert torch.equal(targeted._begin(places, labels[[0, 0, 0]], images, labels, 0)["starts"], images[[1, 1, 1]])


def test_every_query_counts_and_none_is_made_beyond_the_budget(linear):
    _, model, images, labels = linear
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    for budget in (1, 2, 30, 333):
        seen.clear()
        attack = attacks.create("hop_skip_jump", max_queries=budget)
        _, asked = attack.perturb(model, images, labels)
        found = int((asked > 0).sum())
        assert sum(seen) - found <= budget * len(images)
        assert (asked <= budget).all()
    assert found == len(images)
    assert sum(seen) - found == int(asked.sum())


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_with_more_queries_no_image_comes_out_farther(norm, linear):
    _, model, images, labels = linear
    before = torch.full((len(images),), torch.inf)
    for budget in (*range(200, 260, 10), 500, 900):
        attack = attacks.create("hop_skip_jump", norm=norm, max_queries=budget, init_eval=10)
        found = measured(attack.perturb(model, images, labels)[0], images, norm)
        assert (found <= before).all()
        before = found


def test_what_comes_back(linear):
    _, model, images, labels = linear
    wrong = labels.clone()
    wrong[0] = (labels[0] + 1) % 3  # errs before anything is changed
    attack = attacks.create("hop_skip_jump", max_queries=200)
    adversarial, asked = attack.perturb(model, images, wrong)
    assert asked[0] == 1 and torch.equal(adversarial[0], images[0])
    assert torch.equal(adversarial[1:], attack.perturb(model, images, labels)[0][1:])
    assert not torch.equal(adversarial[1:], attack.perturb(model, images, labels, seed=5)[0][1:])
    assert attack.perturb(model, images[:0], labels[:0])[0].shape == (0, 3, 8, 8)
    assert attack.perturb(model, images.double(), labels)[0].dtype == torch.float64


def test_a_class_that_never_wins_is_not_reached(linear):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(x), 3)

    _, _, images, labels = linear
    attack = attacks.create("hop_skip_jump", init_size=5)
    adversarial, asked = attack.perturb(Constant(), images, torch.zeros_like(labels))
    assert asked.tolist() == [-1] * 12 and torch.equal(adversarial, images)


def test_mistakes_are_told(linear):
    _, model, images, labels = linear
    with pytest.raises(OptionError, match=r"init_eval must be at most max_eval \(50\), got 100"):
        attacks.create("hop_skip_jump", max_eval=50)
    with pytest.raises(ValueError, match="target must be from 0 to 2, got 3"):
        attacks.create("hop_skip_jump").perturb(model, images, torch.full_like(labels, 3))
    with pytest.raises(ValueError, match="starts must be one for each image"):
        attacks.create("hop_skip_jump").perturb(model, images, labels, starts=images[:3])

    class Broken(SinglePrecision):
        def forward(self, x):
            return super().forward(x) * (math.nan if len(x) > 15 else 1)

    with pytest.raises(NonFiniteOutput):
        attacks.create("hop_skip_jump").perturb(Broken(), images, labels)


def test_the_model_is_left_alone():
    model = small_network().train()
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4) % 5
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attacks.create("hop_skip_jump", max_queries=40).perturb(model, images, labels)
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
