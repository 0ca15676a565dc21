"""The copy that is asked and attacked in place of a network computes the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from autovul.vision import attacks, datasets, models, tools
from autovul.vision.attacks.record import weights_sha256
from autovul.vision.models.quick import fold_norms, laid_out, quick
from autovul.vision.models.registry import networks
from autovul.vision.utils.model_archs.darts.operations import FactorizedReduce


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def gradient(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    x = images.clone().requires_grad_()
    logits = model(x)
    return logits.detach(), torch.autograd.grad(nn.functional.cross_entropy(logits, torch.arange(len(x)) % 3), x)[0]


@pytest.mark.parametrize("name", models.list())
def test_every_network_computes_the_same_and_has_the_same_gradient_in_less_modules(name, fill):
    option = {"layers": 3, "init_channels": 4} if "layers" in networks.get(name).takes else {"width": 0.125}
    model = models.create(name, num_classes=3, **option).double()
    model.load_state_dict(fill(model.state_dict()))
    before, images = copy.deepcopy(model.state_dict()), torch.rand(3, 3, 32, 32, dtype=torch.float64)
    fast = quick(model)
    for own, its in zip(gradient(model, images), gradient(fast, images), strict=True):
        assert (own - its).abs().max() <= 1e-9 * own.abs().max()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    if models.group(name) != "manual":
        halved = [module for module in fast.modules() if isinstance(module, FactorizedReduce)]  # two convolutions
        assert norms(fast) == len(halved) < norms(model)
    if name == "vgg13_bn_comp":
        assert norms(fast) == 0


@pytest.mark.parametrize("name", ["darts", "vgg13_bn_comp", "resnet18_comp"])
def test_a_networks_own_weights_and_mode_are_not_touched_and_stand_in_the_record(name):
    option = {"layers": 2, "init_channels": 4} if name == "darts" else {"width": 0.0625}
    dataset = datasets.create("digits")
    model = models.create(name, dataset=dataset, **option).train()
    before = copy.deepcopy(model.state_dict())
    for attack in (attacks.create("pgd", test_num=2, iteration=1), attacks.create("fmn", test_num=2, iteration=1)):
        assert attack.run(model, dataset).weights_sha256 == weights_sha256(model)
    assert model.training and all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_what_somebody_listens_to_or_a_sequence_shares_is_left():
    conv, norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
    heard = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    heard[1].register_forward_hook(lambda module, inputs, output: None)
    told = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    told[0].register_forward_pre_hook(lambda module, inputs: None)
    shared = nn.Sequential(nn.Sequential(conv, norm), nn.Sequential(conv, nn.BatchNorm2d(4))).eval()
    unknown = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    apart = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    replaced = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    replaced[1].forward = lambda x: x
    for model in (heard, told, shared, unknown, apart, replaced):
        count = norms(model)
        fold_norms(model)
        assert norms(model) == count
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    fold_norms(plain)
    assert norms(plain) == 0


class Listener:
    def __call__(self, module, inputs, output):
        """Called with a forward pass."""


def test_a_network_with_an_object_for_a_hook_is_taken_itself_and_so_is_one_of_ones_own():
    model = models.create("darts", layers=2, init_channels=4)
    assert quick(model) is not model and quick(nn.Linear(2, 2).eval()).in_features == 2
    own = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    assert quick(own) is own and norms(own) == 1
    model.features.register_forward_hook(Listener())
    assert quick(model) is model and laid_out(model) is model


def test_a_contour_over_the_first_convolution_is_over_its_own_weights():
    """Folded weights are others, and so would be a step of 0.5 along a direction of ones."""
    torch.manual_seed(0)
    model = models.create("darts", layers=2, init_channels=4, num_classes=10)
    with torch.no_grad():
        model.features.stem[1].running_var.fill_(25.0)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    found = tools.loss_contour(model, images, labels, space="parameter", alphas=[0.0, 0.5], betas=[0.0], seed=3)
    plain = tools.loss_contour(nn.Sequential(model), images, labels, alphas=[0.0, 0.5], betas=[0.0], seed=3)
    assert torch.allclose(found.loss, plain.loss, rtol=1e-4)
