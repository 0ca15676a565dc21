"""Gradient variance against an explicit loop, on the project's networks and on awkward ones."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.vision import models
from autovul.vision.attacks.base import untouched
from autovul.vision.tools import gradient_variance, per_sample
from autovul.vision.tools.moments import Moments
from autovul.vision.utils.model_archs.bit import WeightStandardization

SMALL = {
    "bit-m-r50x1_comp": {"width": 0.5},
    "densenet121_comp": {"width": 0.125},
    "dla34_comp": {"width": 0.5},
    "resnet18_comp": {"width": 0.25},
    "resnext50_32x4d_comp": {"width": 0.25},
    "vgg13_bn_comp": {"width": 0.125},
    "wide_resnet50_2_comp": {"width": 0.125},
    **{name: {"layers": 3, "init_channels": 4} for name in ("darts", "amoebanet", "pc_darts", "diy_deep_noskip")},
}


def explicit(model, images, labels, clip_norm=5.0):
    """The definition, parameter by parameter and image by image, in float64."""
    model = copy.deepcopy(model).double().eval()
    rows = []
    for image, label in zip(images.double(), labels, strict=True):
        model.zero_grad()
        F.cross_entropy(model(image[None]), label[None]).backward()
        if clip_norm is not None:
            norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
            for p in model.parameters():
                if p.grad is not None:
                    p.grad *= min(1.0, clip_norm / norm) if norm else 1.0
        rows.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()])
    total = 0.0
    for column in zip(*rows, strict=True):
        g = torch.stack(column)
        total += float(((g**2).mean(0) - g.mean(0) ** 2).clamp_min(0).sqrt().sum())
    return total


def batch(count, size=32, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator), torch.randint(classes, (count,), generator=generator)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 12, 3, stride=2, padding=2, dilation=2, groups=2),
        nn.GroupNorm(3, 12),
        nn.ReLU(inplace=True),
        nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False),
        nn.Conv2d(12, 24, 3, padding="same", padding_mode="circular"),
        nn.AvgPool2d(2),
        nn.Conv2d(24, 24, 3, padding=1),
        nn.Conv2d(24, 16, (1, 3), stride=(1, 2), padding=(0, 1)),
        nn.Flatten(),
        nn.LayerNorm(16 * 2),
        nn.Linear(16 * 2, 4),
    )


@pytest.fixture
def small_batch():
    return batch(6, size=8, classes=4)


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_network_agrees_with_the_explicit_loop(name):
    torch.manual_seed(1)
    model = models.create(name, **SMALL[name]).double()
    images, labels = batch(3)
    found = gradient_variance(model, images.double(), labels, chunk=2)
    assert found.method == "layers"
    assert found.total == pytest.approx(explicit(model, images, labels), rel=1e-9)


def test_the_same_in_single_precision():
    model = models.create("darts", layers=3, init_channels=4)
    images, labels = batch(5)
    expected = explicit(model, images, labels)
    for method in per_sample.METHODS:
        assert gradient_variance(model, images, labels, method=method).total == pytest.approx(expected, rel=1e-4)


GEOMETRIES = {
    "uneven": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 2)},
    "dilated": {"kernel_size": 3, "stride": (1, 2), "padding": (2, 1), "dilation": (2, 1)},
    "both dilated": {"kernel_size": (2, 3), "stride": 2, "padding": 3, "dilation": (3, 2)},
    "pixels": {"kernel_size": 1, "stride": 2, "padding": 1},
    "groups": {"kernel_size": 3, "padding": (0, 1), "dilation": 2, "groups": 2},
}


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("channels", [4, 40])  # few: gradients are kept; many: they stay products
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_geometry_of_a_convolution(geometry, channels, standardised):
    torch.manual_seed(2)
    second = nn.Conv2d(channels, channels, **GEOMETRIES[geometry])
    if standardised:
        parametrize.register_parametrization(second, "weight", WeightStandardization())
    model = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Tanh(), second, nn.Tanh(), nn.Flatten(), nn.LazyLinear(4))
    images, labels = batch(6, size=9, classes=4)
    model(images)
    model = model.double().eval()
    found = gradient_variance(model, images.double(), labels, method="layers")
    assert found.total == pytest.approx(explicit(model, images, labels), rel=1e-9)


@pytest.mark.parametrize("method", ["layers", "vmap", "loop"])
@pytest.mark.parametrize("clip_norm", [None, 0.5, 5.0])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_methods_chunks_and_limits(small_batch, method, clip_norm, chunk):
    images, labels = small_batch
    model = small_net().double().eval()
    found = gradient_variance(model, images.double(), labels, clip_norm, chunk=chunk, method=method)
    assert found.total == pytest.approx(explicit(model, images, labels, clip_norm), rel=1e-10)
    assert found.total == pytest.approx(sum(layer.total for layer in found.layers), rel=1e-12)
    assert (found.samples, found.method, found.log10) == (6, method, math.log10(found.total))


def test_layers_are_named_and_counted():
    found = gradient_variance(models.create("bit_comp", width=0.5), *batch(2))
    layers = {layer.name: layer.parameters for layer in found.layers}
    assert layers["features.conv"] == 32 * 27
    assert layers["classifier.fc"] == 32 * 32 * 10 + 10
    assert layers["features.block1.unit01.gn1"] == 64


def test_norms_and_clipping_of_a_linear_model(small_batch):
    images, labels = small_batch
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4, bias=False))
    nn.init.zeros_(model[1].weight)
    # All logits are 0: the gradient is (1/4 − onehot) xᵀ, of norm √(3/4) · ‖x‖.
    norms = math.sqrt(0.75) * images.flatten(1).norm(dim=1)
    limit = float(norms.median()) + 1e-3
    found = gradient_variance(model, images, labels, clip_norm=limit)
    assert found.clipped == int((norms > limit).sum()) > 0
    assert found.mean_norm == pytest.approx(float(norms.mean()), rel=1e-5)
    found = gradient_variance(model, images, labels, clip_norm=1e-3)
    unit = (0.25 - F.one_hot(labels, 4))[:, :, None] * images.flatten(1)[:, None]
    unit = 1e-3 * unit / unit.flatten(1).norm(dim=1)[:, None, None]
    assert found.total == pytest.approx(float(unit.double().std(0, correction=0).sum()), rel=1e-5)


def test_equal_images_do_not_vary():
    images, labels = batch(1, size=8, classes=4)
    found = gradient_variance(small_net().eval(), images.repeat(5, 1, 1, 1), labels.repeat(5), chunk=2)
    assert found.total < 1e-4


class Mixing(nn.Module):
    """Subtracts the mean over the batch: what one image gives depends on the others."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 64, 4)

    def forward(self, x):
        return self.fc(x.flatten(1) - 0.5 * x.flatten(1).mean(0))


class Token(nn.Module):
    """Owns a parameter beside its layers, and uses one layer twice."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 8))
        self.patch = nn.Linear(3 * 64, 8)
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(self.fc((self.patch(x.flatten(1)) + self.token).tanh()))[:, :4]


class Twice(nn.Module):
    """Known layers only, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.fc = nn.Linear(3 * 64, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(self.fc(self.first(x.flatten(1))).tanh())[:, :4]


class Overwriting(nn.Module):
    """Changes a layer's input after the layer has seen it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3 * 64, 8), nn.Linear(8, 4)

    def forward(self, x):
        hidden = self.first(x.flatten(1)) * 2.0
        logits = self.second(hidden)
        hidden.zero_()
        return logits


class Branching(nn.Module):
    """Decides by the data which path an image takes: nothing that vmap can follow."""

    def __init__(self):
        super().__init__()
        self.scale, self.fc = nn.Parameter(torch.ones(())), nn.Linear(3 * 64, 4)

    def forward(self, x):
        return self.fc(x.flatten(1)) * (self.scale if float(x.mean()) > 0.5 else self.scale**2)


@pytest.mark.parametrize(
    ("build", "method"),
    [
        (small_net, "layers"),
        (Mixing, "vmap"),
        (Token, "vmap"),
        (Twice, "vmap"),
        (Branching, "loop"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()), None),
    ],
)
def test_the_choice_fits_networks_of_ones_own(small_batch, build, method):
    torch.manual_seed(0)
    model, (images, labels) = build().double().eval(), small_batch
    try:
        expected = explicit(model, images, labels)
    except ValueError:  # batch norm over a single value has no statistics
        expected = None
    if expected is None:
        with pytest.raises(ValueError):
            gradient_variance(model, images.double(), labels)
        return
    found = gradient_variance(model, images.double(), labels, chunk=4)
    assert found.method == method
    assert found.total == pytest.approx(expected, rel=1e-9)


def test_grouped_convolutions_never_go_through_vmap_on_a_cpu(small_batch):
    class Grouped(Token):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3)

        def forward(self, x):
            return super().forward(self.conv(x))

    images, labels = small_batch
    assert gradient_variance(Grouped().eval(), images, labels).method == "loop"


@pytest.mark.parametrize("build", [Twice, Overwriting])
def test_a_method_that_does_not_fit_is_refused(small_batch, build):
    with pytest.raises(ValueError, match="method 'layers' does not fit the network: (a layer runs|the input of)"):
        gradient_variance(build(), *small_batch, method="layers")


def test_vmap_is_refused_where_the_data_decides_the_course(small_batch):
    with pytest.raises(ValueError, match="method 'vmap' does not fit the network: what it does depends on its data"):
        gradient_variance(Branching(), *small_batch, method="vmap")


def test_vmap_is_refused_where_something_is_drawn(small_batch):
    class Noisy(Token):
        def forward(self, x):
            return super().forward(x + torch.rand_like(x))

    with pytest.raises(ValueError, match="method 'vmap' does not fit the network: it draws at random"):
        gradient_variance(Noisy(), *small_batch, method="vmap")


def test_an_operator_that_vmap_runs_image_by_image_gives_no_warning(small_batch, recwarn):
    class Renormed(Token):
        def forward(self, x):
            return super().forward(x.renorm(2, 1, 1.0))  # vmap has no batching rule for it

    assert gradient_variance(Renormed(), *small_batch).method == "vmap"
    assert not recwarn.list


class Holder(nn.Sequential):
    """A module with a parameter of its own beside its layers."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return super().forward(x) * self.scale


class Frozen(nn.Sequential):
    """A layer to which nothing flows back."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(3 * 32 * 32, 10))

    def forward(self, x):
        with torch.no_grad():
            x = self[0](x)
        return self[2](self[1](x))


def tied():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    model[1].weight = model[0].weight
    return model


def without_statistics():
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    return nn.Sequential(norm, nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


@pytest.mark.parametrize("build", [Holder, Frozen, tied, without_statistics])
def test_layers_are_refused_where_they_do_not_tell_the_gradients(small_batch, build):
    with pytest.raises(ValueError, match="method 'layers' does not fit the network"):
        gradient_variance(build().eval(), *batch(2), method="layers")


def test_equal_gradients_do_not_vary():
    images, labels = batch(1, size=8)
    found = gradient_variance(small_net().eval(), images.repeat(2, 1, 1, 1), labels.repeat(2) * 0)
    assert found.total < 1e-7 * found.mean_norm
    assert replace(found, total=0.0).log10 == -math.inf


def test_a_layer_that_some_images_send_nothing_back_to():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.bright, self.dark = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x):
            bright, dark = (layer(x.mean((2, 3))) for layer in (self.bright, self.dark))
            return bright if x.mean() > 0.5 else dark

    images, labels = batch(5, size=8, classes=4)
    images = images / 2 + torch.tensor([0.5, 0, 0.5, 0, 0]).view(-1, 1, 1, 1)
    model = Either().double().eval()
    found = gradient_variance(model, images.double(), labels, chunk=1, method="layers")
    assert found.total == pytest.approx(explicit(model, images, labels), rel=1e-9)


def test_layers_that_do_not_run_have_no_variance():
    torch.manual_seed(0)
    model = models.create("darts", layers=3, init_channels=4, auxiliary=True)
    found = gradient_variance(model, *batch(2))
    assert sum(layer.total for layer in found.layers if layer.name.startswith("auxiliary_head")) == 0
    assert found.total == pytest.approx(explicit(model, *batch(2)), rel=1e-4)


def test_zero_gradients_are_counted_and_all_zero_is_refused(small_batch):
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x):
            return self.weight * (x.mean((1, 2, 3)) > threshold)[:, None]

    images, labels = small_batch
    means = images.mean((1, 2, 3)).sort().values
    threshold = float(means[1:3].mean())
    assert gradient_variance(Picky(), images, labels).zero_gradients == 2
    threshold = 2.0
    with pytest.raises(UserError, match="all 6 gradients are zero"):
        gradient_variance(Picky(), images, labels)


def test_a_diverged_network_is_refused(small_batch):
    model = small_net().eval()
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = torch.nan
    for method in per_sample.METHODS:
        with pytest.raises(NonFiniteOutput, match="of 6 of 6 images are not finite|of 6 images"):
            gradient_variance(model, *small_batch, method=method)


@pytest.mark.parametrize("method", ["auto", "vmap", "loop"])
def test_the_model_is_left_as_it_was(small_batch, method):
    model = small_net().train()
    model[0].eval()
    model[3].weight.requires_grad_(False)
    model[3].weight.grad = torch.ones_like(model[3].weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rng = torch.get_rng_state()
    gradient_variance(model, *small_batch, method=method)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state())
    assert model.training and not model[0].training and not model[3].weight.requires_grad
    assert model[0].weight.requires_grad and model[0].weight.grad is None
    assert bool((model[3].weight.grad == 1).all())
    assert not any(module._forward_hooks for module in model.modules())


def test_mistakes_are_named(small_batch):
    images, labels = small_batch
    model = small_net()
    for arguments, message in [
        ({"images": images[:1], "labels": labels[:1]}, "images must be at least 2"),
        ({"images": images * 255}, r"images must lie in \[0, 1\]"),
        ({"labels": labels.float()}, "labels must be an int64"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"method": "guess"}, "method must be auto, layers, vmap, loop; got 'guess'"),
    ]:
        with pytest.raises(ValueError, match=message):
            gradient_variance(**{"model": model, "images": images, "labels": labels, **arguments})


def test_moments_do_not_cancel():
    numbers = np.random.default_rng(0).normal(1000.0, 0.01, (50, 40)).astype(np.float32)
    moments, rows = Moments(torch.zeros(40)), torch.from_numpy(numbers)
    for group in rows.split(7):
        moments.add(lambda flat: flat[:15], group[:, :15].clone())
        moments.add(lambda flat: flat[15:], group[:, 15:].clone())
        moments.advance(len(group))
    assert moments.count == 50
    assert moments.deviation_sum() == pytest.approx(numbers.astype(np.float64).std(0).sum(), rel=1e-3)


def test_gradients_of_single_images_are_those_of_autograd(small_batch):
    images, labels = small_batch
    model = small_net().eval()
    with untouched(model), torch.enable_grad():
        by_layers, by_loop = (
            per_sample._whole(method(model, images, labels), model, 6)
            for method in (per_sample.by_layers, per_sample.by_loop)
        )
    for name, expected in by_loop.items():
        torch.testing.assert_close(by_layers[name], expected, rtol=1e-3, atol=1e-5)
