"""What attacks and tools measure in fp32 on the device against the CPU, in fp64 where that can be."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from autovul.vision import attacks
from autovul.vision.attacks.evasion import black_box
from autovul.vision.tools import gradient_variance, loss_contour
from tests.cuda.small import large_patches, relative, small, there
from tests.vision.attacks import patches

pytestmark = pytest.mark.cuda
NAMES = ("vgg13_bn_comp", "resnext50_32x4d_comp", "bit_comp", "darts", "nasnet")


def examples(count=12):
    split = large_patches().valid
    return split.pixels(slice(0, count)), split.labels[:count]


@pytest.mark.parametrize("method", ["auto", "layers", "vmap", "loop"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_variance(device, name, method):
    model, (images, labels) = small(name), examples()
    expected = gradient_variance(model.double(), images.double(), labels, method="layers")
    model = there(small(name), device)
    found = gradient_variance(model, images.to(device), labels.to(device), method=method, chunk=5)
    rel = 2e-3 if name == "bit_comp" else 2e-4
    assert found.total == pytest.approx(expected.total, rel=rel)
    assert found.mean_norm == pytest.approx(expected.mean_norm, rel=rel)
    assert (found.clipped, found.zero_gradients) == (expected.clipped, expected.zero_gradients)


@pytest.mark.parametrize("space", ["parameter", "input"])
@pytest.mark.parametrize("name", ["vgg13_bn_comp", "darts"])
def test_loss_contours(device, name, space):
    images, labels = examples()
    grid = {"alphas": [-0.2, 0.0, 0.2], "betas": [-0.1, 0.1], "batch_size": 7}
    expected = loss_contour(small(name).double(), images.double(), labels, space, **grid)
    found = loss_contour(there(small(name), device), images.to(device), labels.to(device), space, **grid)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-4, atol=1e-6)
    assert found.center == pytest.approx(expected.center, rel=1e-4)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_pgd(device, dataset, trained, norm):
    size = {"pgd_eps": 0.1, "pgd_alpha": 0.03} if norm == "inf" else {"pgd_eps": 1.0, "pgd_alpha": 0.3}
    attack = attacks.create("pgd", iteration=5, stop_threshold=None, norm=norm, **size)
    images, target = dataset.valid.pixels(slice(0, 40)), (dataset.valid.labels[:40] + 1) % 3
    expected, _ = attack.perturb(there(trained, torch.device("cpu"), torch.float64), images.double(), target)
    found, _ = attack.perturb(there(trained, device), images.to(device), target.to(device))
    differs = (found.cpu().double() - expected).abs() > 1e-4  # a sign of what is nearly 0 may be another
    assert float(differs.double().mean()) < 0.005
    assert float((expected - images).abs().amax()) > 0.02, "it moved"


@pytest.mark.parametrize("shrinks", [True, False])
def test_pgd_with_a_stop(device, dataset, trained, shrinks):
    """Images that are done leave the batch, at the same steps."""
    attack = attacks.create("pgd", iteration=12, pgd_eps=0.4, pgd_alpha=0.02, stop_threshold=0.9, target_idx=1)
    images = dataset.valid.pixels(slice(0, 60 if shrinks else 1))
    target = attack.choose_target(trained(images).detach())
    steps, sizes, made = [], [], []
    for place in (torch.device("cpu"), device):
        model, seen = there(trained, place), []
        model.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(len(inputs[0])))
        found, iterations = attack.perturb(model, images.to(place), target.to(place))
        steps.append(iterations.cpu())
        made.append(found.cpu())
        sizes.append(seen)
    if shrinks:
        assert len({*steps[0].tolist()}) > 2 and min(sizes[0]) < max(sizes[0]), "some stop earlier than others"
    assert float((steps[0] != steps[1]).double().mean()) <= 0.05  # a confidence may lie at the threshold
    alike = steps[0] == steps[1]
    assert float(((made[0] - made[1])[alike].abs() > 1e-4).double().mean()) < 0.005
    assert all(abs(a - b) <= 3 for a, b in zip(*sizes, strict=False))


@pytest.mark.parametrize("estimator", ["nes", "sgd", "hess", "zoo"])
def test_estimated_gradients(device, dataset, trained, estimator, monkeypatch):
    """With the same noise on both sides, which each device would draw for itself; fp64, as they are differences."""
    real_rand, real_randn = torch.rand, torch.randn

    def on_the_host(draw):
        def drawn(*shape, generator, device, **options):
            return draw(*shape, generator=generator, **options).to(device)

        return drawn

    monkeypatch.setattr(black_box.torch, "rand", on_the_host(real_rand))
    monkeypatch.setattr(black_box.torch, "randn", on_the_host(real_randn))
    images, labels = dataset.valid.pixels(slice(0, 5)).double(), dataset.valid.labels[:5]
    found = []
    for place in (torch.device("cpu"), device):
        model = there(trained, place, torch.float64)

        def loss(points, index, model=model, place=place):
            with torch.no_grad():
                return cross_entropy(model(points), labels.to(place)[index], reduction="none")

        generator = torch.Generator().manual_seed(1)
        options = {"query_num": 20, "sigma": 1e-3, "generator": generator}
        found.append(black_box.ESTIMATORS[estimator](loss, images.to(place), **options))
    assert relative(found[1], found[0]) < 1e-6


@pytest.mark.parametrize("estimator", ["nes", "zoo"])
def test_queries_lead_where_gradients_lead(device, dataset, trained, estimator):
    """With the device's own noise, in fp32."""
    options = {"iteration": 5, "pgd_eps": 0.1, "pgd_alpha": 0.03, "stop_threshold": None}
    images = dataset.valid.pixels(slice(0, 20)).to(device)
    target = ((dataset.valid.labels[:20] + 1) % 3).to(device)
    model, losses = there(trained, device), {}
    for method, extra in (("white", {}), (estimator, {"query_num": 300, "sigma": 0.01})):
        made, _ = attacks.create("pgd", grad_method=method, **options, **extra).perturb(model, images, target)
        with torch.no_grad():
            losses[method] = float(cross_entropy(model(made), target))
    with torch.no_grad():
        before = float(cross_entropy(model(images), target))
    assert losses["white"] <= losses[estimator] < before - 0.3 * (before - losses["white"])


def test_the_device_is_asked_in_fp32(device, dataset, trained):
    """Nothing above would mean much if networks came back in another type or place."""
    model: nn.Module = there(trained, device)
    attacks.create("fmn", test_num=10, iteration=5).run(model, dataset, patches.setup())
    assert {(p.device, p.dtype) for p in model.parameters()} == {(device, torch.float32)}
