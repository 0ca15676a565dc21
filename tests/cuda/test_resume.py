"""A run that was stopped goes on as if nobody had stopped it, on another device and in another arithmetic too."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from autovul.base.environ import EnvironmentOptions
from autovul.base.errors import Interrupted
from autovul.base.trainer import TrainingOptions
from autovul.vision.datasets import Augmentation
from tests.cuda.small import CPU, Stopping, assert_same_bits, needs, quiet, relative, there, weights_of
from tests.vision.attacks import patches

pytestmark = pytest.mark.cuda
OPTIONS = TrainingOptions(epoch=4, lr=0.02, lr_scheduler=True, grad_clip=1.0, resume=True, validate_interval=2)


def with_dropout() -> nn.Sequential:
    net = patches.make_network()
    net.insert(6, nn.Dropout(0.3))
    return net


def fit(model, dataset, device, options, path, stop=None):
    batches = dataset.train_batches(20, device, 1, Augmentation(padding=1, cutout_length=2))
    if stop is not None:
        batches = Stopping(batches, *stop)
    return quiet(options, device, state_path=path).fit(model, batches, dataset.valid_batches(30, device))


def stopped_and_resumed(make, dataset, tmp_path, first, second):
    """Stopped in the second epoch's third step at the one place, ended at the other; each (device, options)."""
    path = tmp_path / "net.state"
    (device, options), (elsewhere, changed) = first, second
    with pytest.raises(Interrupted, match="epoch 2, step 3"):
        fit(there(make(), device), dataset, device, options, path, stop=(1, 2))
    model = there(make(), elsewhere)
    history = fit(model, dataset, elsewhere, changed, path)
    assert (history.status, history.resumed_from) == ("ok", (1, 3))
    return model, history


@pytest.mark.parametrize("optimiser", ["SGD", "AdamW"])
@pytest.mark.parametrize("towards", ["cuda", "cpu"])
def test_on_the_other_device(device, dataset, tmp_path, towards, optimiser):
    options = OPTIONS.model_copy(update={"OptimType": optimiser, "lr": 0.02 if optimiser == "SGD" else 1e-3})
    places = (CPU, device) if towards == "cuda" else (device, CPU)
    start, whole = patches.make_network(), there(patches.make_network(), CPU)
    expected = fit(whole, dataset, CPU, options, None)
    first, second = ((place, options) for place in places)
    model, history = stopped_and_resumed(patches.make_network, dataset, tmp_path, first, second)
    change, wanted = (weights_of(each) - weights_of(start) for each in (model, whole))
    assert relative(change, wanted) < (0.01 if optimiser == "SGD" else 0.1)  # Adam takes noise for a gradient
    losses, others = ([r.valid_loss for r in each.records if r.valid_loss is not None] for each in (history, expected))
    assert losses == pytest.approx(others, rel=0.01)


@pytest.mark.parametrize("precisions", [("fp32", "bf16"), ("bf16", "fp32"), ("fp32", "fp16"), ("fp16", "fp32")])
def test_in_another_arithmetic(device, dataset, tmp_path, precisions):
    for precision in precisions:
        needs(precision, device)
    start, whole = patches.make_network(), there(patches.make_network(), device)
    fit(whole, dataset, device, OPTIONS, None)
    ways = [OPTIONS.model_copy(update={"precision": p, "resume_changed": True}) for p in precisions]
    first, second = ((device, way) for way in ways)
    model, history = stopped_and_resumed(patches.make_network, dataset, tmp_path, first, second)
    assert history.precision == precisions[1]
    change, wanted = (weights_of(each) - weights_of(start) for each in (model, whole))
    assert relative(change, wanted) < 0.15


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimiser", ["SGD", "AdamW"])
def test_on_the_same_device_to_the_bit(device, dataset, tmp_path, optimiser, precision):
    """With dropout, which draws on the device."""
    needs(precision, device)
    EnvironmentOptions(deterministic=True, device=str(device)).apply()
    options = OPTIONS.model_copy(update={"OptimType": optimiser, "lr": 1e-3, "precision": precision})
    whole = there(with_dropout(), device)
    expected = fit(whole, dataset, device, options, tmp_path / "whole.state")
    model, history = stopped_and_resumed(with_dropout, dataset, tmp_path, (device, options), (device, options))
    assert_same_bits(model, whole)
    timeless = [[(r.train_loss, r.valid_loss) for r in each.records] for each in (history, expected)]
    assert timeless[0] == timeless[1]


def test_batches_that_stop_do_so_once(dataset):
    """What the tests above rest on: without a stop the wrapper changes nothing."""
    plain, wrapped = dataset.train_batches(50, "cpu", 1), Stopping(dataset.train_batches(50, "cpu", 1), 9, 9)
    for (images, labels), (others, same) in zip(plain.epoch(0), wrapped.epoch(0), strict=True):
        assert torch.equal(images, others) and torch.equal(labels, same)
    assert len(wrapped) == len(copy.copy(plain)) == 3
