"""Every network, in each arithmetic and by two optimisers: it learns on the device, and answers as on the CPU."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn

from autovul.base.trainer import TrainingOptions
from autovul.base.training.precision import Precision
from autovul.vision import models
from autovul.vision.attacks.base import untouched
from autovul.vision.attacks.victim import questioned
from tests.cuda.small import CPU, large_patches, needs, quiet, relative, small, there, weights_of

pytestmark = pytest.mark.cuda
NETWORKS = [*models.list(), "sampled_1"]
# How far logits may be from those of the CPU in fp32, relative to their norm. A CPU is within 0.049 in bf16 and 0.011
# in fp16, both for BiT, and within 0.008 and 0.001 for most. TF32 rounds as fp16 does: in fp32 it would be seen.
LOGITS = {"fp32": 5e-5, "bf16": 0.1, "fp16": 0.03}
RATES = {"SGD": 0.01, "AdamW": 1e-3}


def train(model: nn.Module, device: torch.device, optimiser: str, precision: str) -> nn.Module:
    """Two steps; in fp16 sixteen, since the first ones overflow until the scale has fallen."""
    batches = large_patches(16, 15).train_batches(8, device, 1)
    epochs = 8 if precision == "fp16" else 1
    options = TrainingOptions(epoch=epochs, lr=RATES[optimiser], OptimType=optimiser, precision=precision)
    history = quiet(options, device).fit(model, batches)
    assert (history.status, history.precision) == ("ok", precision)
    return model


def reached(model: nn.Module) -> set[str]:
    """The parameters that a gradient reaches: some published cells have paths that lead nowhere."""
    twin = copy.deepcopy(model).train()
    twin(large_patches(16, 15).train.pixels(slice(0, 4))).sum().backward()
    return {name for name, parameter in twin.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("optimiser", RATES)
@pytest.mark.parametrize("precision", LOGITS)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_and_answers_as_on_the_cpu(device, name, precision, optimiser):
    needs(precision, device)
    start = small(name)
    model = train(there(start, device), device, optimiser, precision)
    before, moving = dict(start.named_parameters()), reached(start)
    for key, parameter in model.named_parameters():
        assert bool(parameter.isfinite().all()), key
        assert key not in moving or not torch.equal(parameter.cpu(), before[key]), f"{key} has not moved"
    images = large_patches(16, 15).valid.pixels(slice(0, 8))
    with questioned(there(model, CPU)) as asked:
        expected = asked.logits(images)
    with untouched(model), torch.no_grad(), Precision(precision, device.type).autocast():
        found = model(images.to(device))
    limit = 1e-3 if (name, precision) == ("bit-m-r50x1_comp", "fp32") else LOGITS[precision]
    assert relative(found, expected) < limit


@pytest.mark.parametrize("name", NETWORKS)
def test_two_steps_lead_where_they_lead_on_the_cpu(device, name):
    start = small(name)
    expected = weights_of(train(there(start, CPU), CPU, "SGD", "fp32")) - weights_of(start)
    found = weights_of(train(there(start, device), device, "SGD", "fp32")) - weights_of(start)
    assert relative(found, expected) < 0.02  # bf16 would be 0.02 to 1.2


def test_tf32_would_be_seen(device):
    """What PyTorch does by itself, and the package does not."""
    if device.type == "cpu" or torch.cuda.get_device_capability(device) < (8, 0):
        pytest.skip("no TF32 here")
    model = small("resnet18_comp", width=0.25)
    images = large_patches(16, 15).valid.pixels(slice(0, 8))
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(images.double())
        errors = {}
        for allowed in (True, False):
            with contextlib.nullcontext() if allowed else untouched(there(model, device)):
                errors[allowed] = relative(there(model, device)(images.to(device)), exact)
    assert errors[False] < 1e-5 < errors[True]
