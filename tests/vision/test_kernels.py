"""What this machine's kernels compute in the layout that is chosen for them, against fp64.

A library's kernel can be wrong on some machines only, and what it computes wrongly can look like training.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from autovul.base.training.precision import resolve_precision
from autovul.vision.utils.model_archs.darts.genotypes import OPERATIONS
from autovul.vision.utils.model_archs.darts.operations import make_operation

CPU = torch.device("cpu")


class Willing(nn.Sequential):
    def takes_channels_last(self) -> bool:
        return True


def network(layer: nn.Module, channels: int) -> nn.Module:
    """A layer between convolutions, so that it takes and returns what a network's own would."""
    out = layer(torch.zeros(2, channels, 32, 32)).shape[1]
    stem = (nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
    return Willing(*stem, layer, nn.Conv2d(out, 4, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))


def gradient(model: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Tensor:
    """Of all weights, as a training step computes it; the memory that kernels get anew holds NaN before."""
    chosen = resolve_precision(precision, CPU, model)
    model.zero_grad()
    model.train()
    dirty = [torch.full((1 << size,), float("nan")) for size in range(4, 18)]
    del dirty
    with chosen.layout(model):
        with chosen.autocast():
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters()])


LAYERS = {
    **{
        f"{name}, stride {stride}, {channels} channels": lambda name=name, stride=stride, channels=channels: (
            make_operation(name, channels, stride, 0.0),
            channels,
        )
        for name in OPERATIONS
        for stride in (1, 2)
        for channels in (3, 4, 8)
    },
    "dilated": lambda: (nn.Conv2d(8, 8, 3, padding=2, dilation=2), 8),
    "grouped": lambda: (nn.Conv2d(8, 8, 3, padding=1, groups=2), 8),
    "few channels, halved": lambda: (nn.Conv2d(4, 8, 1, stride=2), 4),
    "strided": lambda: (nn.Conv2d(4, 8, 3, stride=2, padding=1), 4),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_are_those_of_double_precision_and_the_same_ones_each_time(layer: str, precision: str) -> None:
    torch.manual_seed(0)
    compare(network(*LAYERS[layer]()), torch.rand(8, 3, 32, 32), precision)


@pytest.mark.parametrize("channels", [1, 2, 7, 8, 12, 15, 16, 17, 24])
def test_points_that_halve_a_large_map_do_not_write_beside_their_place(channels: int) -> None:
    """Stored channels last, those of up to 15 channels crash here and there from 48 pixels a side on."""
    torch.manual_seed(0)
    compare(network(nn.Conv2d(channels, 8, 1, stride=2), channels), torch.rand(8, 3, 64, 64), "fp32")


def compare(model: nn.Module, images: Tensor, precision: str) -> None:
    labels = torch.arange(8)
    # PyTorch's own kernels compute in double precision, whatever library it asks otherwise.
    expected = gradient(copy.deepcopy(model).double(), images.double(), labels, "fp32")
    found = [gradient(model, images, labels, precision) for _ in range(3)]
    assert all(torch.equal(found[0], again) for again in found)
    tolerance = 0.15 if precision == "bf16" else 1e-2  # one ReLU, rounded to the other side of 0, makes 2e-3
    assert (found[0] - expected).norm() < tolerance * expected.norm()
