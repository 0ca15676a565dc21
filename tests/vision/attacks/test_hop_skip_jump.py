"""The boundary search: distances that are known, independence of images, caps, and networks that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.vision import models
from autovul.vision.attacks.hop_skip_jump import HopSkipJump
from autovul.vision.attacks.victim import Victim, questioned

SHAPE = (3, 6, 6)


class HalfSpace(nn.Module):
    """Class 1 where w · x > b, for a w of length 1: the boundary is |w · x − b| away. Counts its images."""

    def __init__(self, seed=0):
        super().__init__()
        direction = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        self.direction = nn.Parameter(direction / direction.norm())
        self.offset = 0.5 * self.direction.sum().item() + 0.35
        self.seen = 0

    def margin(self, x):
        return (x * self.direction.detach()).sum((1, 2, 3)) - self.offset

    def forward(self, x):
        self.seen += len(x)
        return torch.stack([-self.margin(x), self.margin(x)], 1)


def draw(count, seed=1, low=0.4, high=0.6):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand((count, *SHAPE), generator=generator)


def search(model, images, seeds=None, batch=None, **options):
    with questioned(model, batch) as victim:
        classes = victim.labels(images)
        points = HopSkipJump(**options).run(victim, images, classes, seeds or [*range(len(images))])
        changed = victim.labels(points.images) != classes
    return points, changed


def lengths(points, images):
    return (points.images - images).flatten(1).norm(dim=1)


@pytest.fixture(scope="module")
def flat():
    """Images near a known boundary, with the class that random images do not have."""
    model = HalfSpace()
    generator = torch.Generator().manual_seed(3)
    images = draw(12) + 0.12 * model.direction.detach() * torch.rand(12, generator=generator).view(-1, 1, 1, 1)
    noise = torch.rand((500, *SHAPE), generator=generator)
    assert 0 < float((model.margin(noise) > 0).float().mean()) < 0.5
    return model, images, model.margin(images).abs().detach()


def test_the_distance_to_a_known_boundary_is_found(flat):
    model, images, truth = flat
    medians = []
    for iterations in (0, 1, 5, 40):
        points, changed = search(model, images, max_iter=iterations, max_eval=800, max_queries=10**6)
        assert bool(points.found.all()) and bool(changed.all())
        ratio = lengths(points, images) / truth
        assert float(ratio.min()) > 0.999
        medians.append(ratio.median().item())
    assert medians == sorted(medians, reverse=True)
    assert medians[0] > 1.5
    assert medians[-1] < 1.03


def test_so_is_the_distance_in_the_maximum_norm(flat):
    """It is |w · x − b| / ‖w‖₁, and the search of the L2 norm does not find it."""
    model, images, truth = flat
    truth = truth / model.direction.detach().abs().sum()
    ratios = {}
    for norm in ("inf", "2"):
        points, changed = search(model, images, max_iter=40, max_eval=800, max_queries=10**6, norm=norm)
        assert bool(points.found.all()) and bool(changed.all())
        assert float(points.images.min()) >= 0 and float(points.images.max()) <= 1
        ratios[norm] = (points.images - images).flatten(1).abs().amax(1) / truth
    assert float(ratios["inf"].min()) > 0.999
    assert ratios["inf"].median().item() < 1.1 < ratios["2"].median().item()


def test_a_target_is_reached_from_an_image_of_its_class(flat):
    """Random images never have it."""
    model, images, _ = flat

    class Behind(HalfSpace):
        """A third class, where class 1 has a margin of 1."""

        def forward(self, x):
            return torch.cat([super().forward(x), 2 * self.margin(x)[:, None] - 1], 1)

    options = {"max_iter": 40, "max_eval": 800, "max_queries": 10**6, "norm": "2", "targeted": True}
    goal = torch.full((len(images),), 2)
    starts = (images + 2 * model.direction.detach()).clamp(0, 1)
    with questioned(Behind()) as victim:
        nothing = HopSkipJump(**options).run(victim, images, goal, [*range(12)])
        assert not bool(nothing.found.any())
        points = HopSkipJump(**options).run(victim, images, goal, [*range(12)], starts=starts)
        assert bool((victim.labels(points.images) == 2).all()) and bool(points.found.all())
    expected = 1 - model.margin(images).detach()
    ratio = lengths(points, images) / expected
    assert float(ratio.min()) > 0.999 and ratio.median().item() < 1.06, "few pixels come to the border of their range"


def test_a_start_that_does_not_serve_is_replaced_by_a_random_one(flat):
    model, images, _ = flat
    far = images + model.direction.detach().sign() * torch.where(model.margin(images) > 0, -0.4, 0.4).view(-1, 1, 1, 1)
    starts = torch.cat([far[:6], images[6:]])
    with questioned(model) as victim:
        classes = victim.labels(images)
        given = HopSkipJump(max_iter=0, closing_search=False).run(victim, images, classes, [*range(12)], starts=starts)
        drawn = HopSkipJump(max_iter=0, closing_search=False).run(victim, images, classes, [*range(12)])
    assert torch.equal(given.images[:6], far[:6]) and given.queries[:6].tolist() == [1] * 6
    assert torch.equal(given.images[6:], drawn.images[6:])
    assert torch.equal(given.queries[6:], drawn.queries[6:] + 1)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_the_nearest_point_on_the_way_can_be_kept(flat, norm):
    """Where no search follows the last step, it is nearer than what the step has come to."""
    model, images, _ = flat
    distances = {}
    for kept in (False, True):
        for iterations in (1, 2, 3):
            options = {"max_iter": iterations, "closing_search": False, "norm": norm, "keep_nearest": kept}
            points, changed = search(model, images, **options)
            assert bool(changed.all())
            offset = (points.images - images).flatten(1)
            distances[kept, iterations] = offset.norm(dim=1) if norm == "2" else offset.abs().amax(1)
    assert (distances[True, 1] < distances[False, 1]).all()
    for iterations in (2, 3):
        assert (distances[True, iterations] <= distances[True, iterations - 1]).all()
        assert (distances[True, iterations] <= distances[False, iterations]).all()


def test_the_default_type_of_the_process_does_not_matter(flat):
    model, images, _ = flat
    expected, _ = search(model, images, max_iter=1)
    torch.set_default_dtype(torch.float64)
    try:
        found, _ = search(model, images, max_iter=1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.images, expected.images)


def test_the_boundary_is_probed_a_tenth_away_at_first_and_then_at_a_hundredth_of_the_distance(flat):
    """Of points in random directions from one, most are √2 times as far from each other; all else is asked singly."""
    model, images, _ = flat
    probes = []
    hook = model.register_forward_pre_hook(lambda module, inputs: probes.append(inputs[0].detach().flatten(1)))
    search(model, images[:1], batch=512, max_iter=3)
    hook.remove()
    radii = [torch.pdist(points).median().item() / 2**0.5 for points in probes if len(points) > 1]
    reached = [
        lengths(search(model, images[:1], max_iter=steps, closing_search=False)[0], images[:1]).item()
        for steps in (1, 2)
    ]
    assert radii == pytest.approx([0.1, *(0.01 * distance for distance in reached)], rel=0.05)


def test_the_closing_search_ends_at_the_boundary(flat):
    model, images, _ = flat
    closed, _ = search(model, images, max_iter=3)
    open_, _ = search(model, images, max_iter=3, closing_search=False)
    assert float(model.margin(closed.images).abs().max()) < 0.01
    assert float(model.margin(open_.images).abs().median()) > 0.02
    assert float((lengths(closed, images) / lengths(open_, images)).max()) <= 1


def test_an_image_does_not_depend_on_the_others_nor_on_the_batch(flat):
    model, images, _ = flat
    together, _ = search(model, images, max_iter=4)
    for batch in (1, 7):
        again, _ = search(model, images, max_iter=4, batch=batch)
        assert torch.equal(together.images, again.images) and torch.equal(together.queries, again.queries)
    alone, _ = search(model, images[5:6], seeds=[5], max_iter=4)
    assert torch.equal(alone.images[0], together.images[5])
    assert alone.queries[0] == together.queries[5]


def test_seeds_are_honoured(flat):
    model, images, _ = flat
    first, again, other = (search(model, images, seeds=[s] * 12, max_iter=2)[0] for s in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_every_query_is_counted(flat):
    model, images, _ = flat
    model.seen = 0
    points, _ = search(model, images, max_iter=5)
    assert int(points.queries.sum()) == model.seen - 2 * len(images)  # classes before, and the check afterwards


@pytest.mark.parametrize("cap", [1, 9, 40, 100, 200])
def test_no_image_asks_more_than_its_cap(flat, cap):
    model, images, _ = flat
    model.seen = 0
    points, changed = search(model, images, max_queries=cap)
    assert int(points.queries.max()) <= cap
    assert int(points.queries.sum()) == model.seen - 2 * len(images)
    assert bool(points.capped.all())
    assert torch.equal(changed, points.found)


def test_an_image_without_another_class_is_marked_and_unchanged():
    class Stubborn(HalfSpace):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    images = draw(3)
    points, changed = search(Stubborn(), images, init_size=20)
    assert not bool(points.found.any()) and not bool(changed.any()) and not bool(points.capped.any())
    assert torch.equal(points.images, images)
    assert points.queries.tolist() == [20] * 3


def test_a_network_that_answers_at_random_ends_too():
    class Fickle(HalfSpace):
        def forward(self, x):
            return torch.randn(len(x), 2)

    points, _ = search(Fickle(), draw(3))
    assert int(points.queries.max()) <= 2000


def test_a_diverged_network_is_refused(flat):
    _, images, _ = flat

    class Broken(HalfSpace):
        def forward(self, x):
            return super().forward(x) + torch.where(x.amax((1, 2, 3), keepdim=False) > 0.95, torch.nan, 0.0)[:, None]

    with pytest.raises(NonFiniteOutput):
        search(Broken(), images)


def test_no_image_is_no_work():
    nothing = torch.empty(0, *SHAPE)
    points = HopSkipJump().run(Victim(HalfSpace()), nothing, torch.empty(0, dtype=torch.int64), [])
    assert points.images.shape == (0, *SHAPE)


def test_memory_that_does_not_suffice_halves_the_batch():
    class Large(HalfSpace):
        limit = 5

        def forward(self, x):
            if len(x) > self.limit:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    images = draw(33)
    victim = Victim(Large(), batch=32)
    assert torch.equal(victim.logits(images), HalfSpace()(images))
    assert victim.batch <= 8
    victim.model.limit = 0
    with pytest.raises(UserError, match="out of memory on cpu with a single image"):
        victim.logits(images)


def test_the_first_error_of_a_network_is_told_and_later_ones_pass_through():
    class Defect(HalfSpace):
        broken = True

        def forward(self, x):
            if self.broken:
                raise RuntimeError("a defect")
            return super().forward(x)

    victim = Victim(Defect())
    with pytest.raises(UserError, match=r"does not take images, torch.float32 of shape \(2, .*: a defect") as told:
        victim.logits(draw(2))
    assert isinstance(told.value.__cause__, RuntimeError)
    victim.model.broken = False
    victim.logits(draw(2))
    victim.model.broken = True
    with pytest.raises(RuntimeError, match="a defect"):
        victim.logits(draw(2))


@pytest.mark.parametrize("name", ["resnet18_comp", "darts", "bit_comp"])
def test_a_network_of_the_project_is_asked_as_it_is_and_left_as_it_was(name):
    options = {"layers": 2, "init_channels": 4} if name == "darts" else {"width": 0.125}
    model = models.create(name, **options).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    strides = [parameter.stride() for parameter in model.parameters()]
    images = torch.rand(3, 3, 32, 32)
    with questioned(model) as victim:
        answers = victim.logits(images)
    assert model.training and [parameter.stride() for parameter in model.parameters()] == strides
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.allclose(answers, model.eval()(images), atol=1e-4)


class GreyByView(nn.Sequential):
    """The second convolution stores channels last what it gives for such images, and view cannot flatten that."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4 * 64, 2))

    def forward(self, x):
        return self[2](self[1](self[0](x)).view(len(x), -1))


def test_a_grey_network_is_asked_in_its_own_layout():
    """With one channel a weight is contiguous in both layouts."""
    model, images = GreyByView(), torch.rand(3, 1, 8, 8)
    with questioned(model) as victim:
        assert torch.equal(victim.logits(images), model(images))
    last = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)).to(memory_format=torch.channels_last)
    assert Victim(last)._channels_last, "what is stored so is still noticed"


@pytest.fixture(scope="module")
def art_points(flat):
    pytest.importorskip("art")
    from autovul.vision.attacks.membership.art_boundary import boundary_points

    model, images, _ = flat
    images, seeds = images.repeat(2, 1, 1, 1), [*range(24)]
    with questioned(model) as victim:
        classes = victim.labels(images)
        before = torch.get_rng_state()
        points = boundary_points(HopSkipJump(), victim, images, classes, seeds)
        again = boundary_points(HopSkipJump(), victim, images[:3], classes[:3], seeds)
        assert torch.equal(before, torch.get_rng_state())
        changed = victim.labels(points.images) != classes
    return images, points, again, changed


def test_art_agrees(flat, art_points):
    model, *_ = flat
    images, points, _, changed = art_points
    assert bool(points.found.all()) and bool(changed.all())
    own, _ = search(model, images)
    assert points.queries.double().mean().item() == pytest.approx(own.queries.double().mean().item(), rel=0.03)
    theirs, ours = lengths(points, images), lengths(own, images)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(24, (1000, 24), generator=generator)
    intervals = [
        side[draws].median(1).values.quantile(torch.tensor([0.025, 0.975])).tolist() for side in (theirs, ours)
    ]
    assert intervals[0][0] < ours.median() < intervals[0][1]
    assert intervals[1][0] < theirs.median() < intervals[1][1]
    # The same images: the ratio of distances is much better known than the distances.
    assert (theirs / ours).log().mean().exp().item() == pytest.approx(1, abs=0.08)


def test_art_follows_the_seeds(art_points):
    _, points, again, _ = art_points
    assert torch.equal(points.images[:3], again.images)
    assert torch.equal(points.queries[:3], again.queries)


def test_art_does_not_hang_and_keeps_to_the_cap(flat):
    pytest.importorskip("art")
    from autovul.vision.attacks.membership.art_boundary import boundary_points

    model, images, _ = flat
    with questioned(model) as victim:
        classes = victim.labels(images[:3])
        capped = boundary_points(HopSkipJump(max_queries=120), victim, images[:3], classes, [0, 1, 2])
        assert bool(capped.capped.all()) and int(capped.queries.max()) <= 120
        assert bool((victim.labels(capped.images) != classes).all())

    class Broken(HalfSpace):
        def forward(self, x):
            return super().forward(x) * (torch.nan if self.seen > 40 else 1)

    with questioned(Broken()) as victim, pytest.raises(NonFiniteOutput):
        boundary_points(HopSkipJump(), victim, images[:3], classes, [0, 1, 2])


@pytest.mark.slow
def test_art_leaves_no_trace_at_home(tmp_path):
    code = "from autovul.vision.attacks.art_engine import prepare_art; prepare_art(); import art.attacks.evasion"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not (tmp_path / ".art").exists()
