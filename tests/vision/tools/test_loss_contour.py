"""Loss contours against direct evaluation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.vision import datasets, models
from autovul.vision.tools import loss_contour
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.contour_pictures import draw_contours, draw_surfaces, layout, save_contours
from autovul.vision.tools.loss_contour import axis, first_convolution, orthogonal_signs


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(7, 3, 8, 8, generator=generator), torch.randint(4, (7,), generator=generator)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 4))


def plain_loss(model, images, labels):
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(images).double(), labels).item()


def test_parameter_space_is_what_writing_the_weights_would_give(net, data):
    images, labels = data
    found = loss_contour(net, images, labels, alphas=(-0.3, 0.1), betas=(0.0, 0.2, 0.4), batch_size=3)
    first, second = (d.view(4, 3, 3, 3) for d in orthogonal_signs(108, 1228))
    original = net[0].weight.detach().clone()
    for row, alpha in enumerate(found.alphas):
        for column, beta in enumerate(found.betas):
            with torch.no_grad():
                net[0].weight.copy_(original + alpha * first + beta * second)
            assert found.loss[row, column].item() == pytest.approx(plain_loss(net, images, labels), rel=1e-6)
    assert (found.parameter, found.samples, found.loss.shape) == ("0.weight", 7, (2, 3))


@pytest.mark.parametrize("batch_size", [2, 7, 100])
def test_input_space_is_what_moved_images_would_give(net, data, batch_size):
    images, labels = data
    found = loss_contour(net, images, labels, "input", alphas=axis(0.2, 3), betas=(0.0, 0.15), batch_size=batch_size)
    first, second = (d.view(3, 8, 8) for d in orthogonal_signs(192, 1228))
    for row, alpha in enumerate(found.alphas):
        for column, beta in enumerate(found.betas):
            expected = plain_loss(net, images + alpha * first + beta * second, labels)
            assert found.loss[row, column].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("space", ["parameter", "input"])
@pytest.mark.parametrize("name", ["darts", "resnet18_comp", "bit_comp"])
def test_the_centre_is_the_plain_loss(name, space):
    small = {"layers": 2, "init_channels": 4} if name == "darts" else {"width": 0.5}
    model, images, labels = models.create(name, **small), torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    odd, even = (loss_contour(model, images, labels, space, alphas=axis(0.5, n), betas=axis(0.5, n)) for n in (3, 2))
    assert odd.center == odd.loss[1, 1].item() == pytest.approx(plain_loss(model, images, labels), rel=1e-6)
    assert even.center == pytest.approx(odd.center, rel=1e-6)
    assert even.loss[1, 0] == pytest.approx(odd.loss[2, 0])
    assert len(set(odd.loss.flatten().tolist())) == 9


def test_the_default_grid_is_the_protocols(net, data):
    images, labels = data
    found = loss_contour(net, images[:1], labels[:1])
    assert (len(found.alphas), found.alphas[0], found.alphas[10], found.alphas[-1]) == (21, -0.5, 0.0, 0.5)
    assert loss_contour(net, images[:1], labels[:1], "input").betas[-1] == 0.2


@pytest.mark.parametrize("count", [2, 6, 108, 3072])
def test_directions_are_signs_and_exactly_orthogonal(count):
    first, second = orthogonal_signs(count, seed=3)
    assert set(first.tolist()) == {-1.0, 1.0} == set(first.tolist() + second.tolist())
    assert float(first @ second) == 0.0 == float(first.sum())
    again, other = orthogonal_signs(count, seed=3)
    assert torch.equal(first, again) and torch.equal(second, other)
    if count > 6:
        assert not torch.equal(first, orthogonal_signs(count, seed=4)[0])


def test_an_odd_number_of_entries_is_refused_by_name(data):
    images, labels = data
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    with pytest.raises(UserError, match="0.weight has 81 entries, an odd number"):
        loss_contour(model, images, labels)
    with pytest.raises(UserError, match="an image has 147 entries, an odd number"):
        loss_contour(model, images[:, :, :7, :7], labels, "input")


def test_mistakes_are_named(net, data):
    images, labels = data
    with pytest.raises(ValueError, match="space must be parameter or input, got 'weights'"):
        loss_contour(net, images, labels, "weights")
    with pytest.raises(ValueError, match="images must be at least 1"):
        loss_contour(net, images[:0], labels[:0])
    with pytest.raises(ValueError, match="labels must be an int64"):
        loss_contour(net, images, labels[:3])
    with pytest.raises(ValueError, match="labels must be class indices of at least 0, got -100"):
        loss_contour(net, images, labels * 0 - 100)  # which PyTorch's cross entropy leaves out without a word
    with pytest.raises(ValueError, match="alphas and betas must have"):
        loss_contour(net, images, labels, alphas=())
    with pytest.raises(ValueError, match="parameter goes with parameter space, got 'weight' in input space"):
        loss_contour(net, images, labels, "input", parameter="weight")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        loss_contour(net, images, labels, batch_size=0)
    with pytest.raises(UserError, match=r"no parameter '4.wieght' \(nearest: 4.weight"):
        loss_contour(net, images, labels, parameter="4.wieght")
    with pytest.raises(UserError, match="Sequential has no convolution"):
        loss_contour(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), images, labels)
    with torch.no_grad():
        net[4].bias[0] = torch.inf
    with pytest.raises(NonFiniteOutput, match="the loss at α = -0.5, β = -0.5 is not finite"):
        loss_contour(net, images, labels)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: nn.Conv2d(3, 4, 3), "1.weight"),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), "1.parametrizations.weight.original"),
        (lambda: torch.jit.script(nn.Conv2d(3, 4, 3)), "1.weight"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_the_first_convolution_is_one(build, name):
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(1, 3, 1, 1))

        def forward(self, x):
            return x - self.mean

    assert first_convolution(nn.Sequential(Shift(), build())) == name


def test_weights_computed_from_others_are_not_moved():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 4, 1))
    with pytest.raises(UserError, match="Sequential's first convolution is computed from others"):
        first_convolution(model)


def test_a_centre_beside_the_grid_is_looked_at_too(data):
    class Hole(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 2, 1, 1))

        def forward(self, x):
            at_the_centre = not bool(self.weight.any())
            return x.flatten(1)[:, :4] * (torch.nan if at_the_centre else 1.0)

    images, labels = data
    with pytest.raises(NonFiniteOutput, match="centre"):
        loss_contour(Hole(), images, labels * 0, alphas=(0.5,), betas=(0.2,))


def test_the_model_is_never_written_to(net, data):
    net.train()
    versions = [parameter._version for parameter in net.parameters()]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    loss_contour(net, *data, alphas=(0.1,), betas=(0.1,))
    assert versions == [parameter._version for parameter in net.parameters()]
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())


def test_a_point_costs_one_pass(net, data):
    passes = []
    net.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    done = []
    loss_contour(net, *data, alphas=axis(0.5, 3), betas=axis(0.5, 3), advance=done.append)
    asked = 2  # whether the network takes images at all
    assert sum(passes) == 9 * 7 + asked and sum(done) == 9
    passes.clear()
    loss_contour(net, *data, "input", alphas=axis(0.5, 2), betas=axis(0.5, 2), batch_size=14)
    assert passes == [asked, 14, 14, 7]  # two points at once, and the centre, which the grid has not


def test_pictures_and_numbers(net, data, tmp_path):
    import numpy as np

    small = loss_contour(net, *data, alphas=axis(0.5, 3), betas=axis(0.5, 4))
    contours = dict.fromkeys(("a", "b", "c", "d", "e"), small)
    assert [layout(count) for count in (1, 4, 5, 9)] == [(1, 1), (1, 4), (2, 3), (3, 3)]
    draw_contours(tmp_path / "contour.png", contours)
    draw_surfaces(tmp_path / "surface.png", contours)
    save_contours(tmp_path / "numbers.npz", contours)
    for name in ("contour.png", "surface.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "numbers.npz") as archive:
        assert np.array_equal(archive["b/loss"], small.loss.numpy())
        assert archive["b/alphas"].tolist() == [-0.5, 0.0, 0.5]
        assert archive["e/center"].item() == small.center


def test_a_record_carries_the_grid_thinned_to_41_points_a_side_with_its_ends():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    dataset = datasets.create("digits")
    tool = ContourMeasurement(points=43, sample_num=3, span=0.2)
    contour, result = tool.measure(net, dataset)
    rows = result.series
    kept = [*range(0, 43, 2)]
    assert [row["alpha"] for row in rows] == pytest.approx([contour.alphas[place] for place in kept])
    for place, row in zip(kept, rows, strict=True):
        assert row["losses"] == pytest.approx(contour.loss[place, kept].tolist(), abs=1e-6)
    _, small = ContourMeasurement(points=3, sample_num=3).measure(net, dataset)
    assert [len(row["losses"]) for row in small.series] == [3, 3, 3]


@pytest.mark.parametrize("space", ["parameter", "input"])
def test_a_network_of_the_project_has_the_contour_of_its_own_layout(space):
    torch.manual_seed(0)
    model = models.create("darts", layers=2, init_channels=6).train()
    images, labels = torch.rand(3, 3, 32, 32), torch.tensor([0, 4, 9])
    strides = [parameter.stride() for parameter in model.parameters()]
    seen = set()
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    last.register_forward_pre_hook(lambda layer, _: seen.add(layer is not last))
    grid = {"alphas": (-0.1, 0.2), "betas": (0.0, 0.1)}
    found = loss_contour(model, images, labels, space, **grid)
    assert seen == {True}
    assert model.training and [parameter.stride() for parameter in model.parameters()] == strides
    plain = loss_contour(nn.Sequential(model), images, labels, space, **grid)
    torch.testing.assert_close(found.loss, plain.loss, rtol=1e-4, atol=1e-5)
    assert found.center == pytest.approx(plain.center, rel=1e-4)
