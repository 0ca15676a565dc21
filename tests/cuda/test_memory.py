"""Where the device's memory ends: smaller parts, unchanged results, and an error that says what to do."""

from __future__ import annotations

import pytest
import torch

from autovul.base.errors import UserError
from autovul.base.trainer import TrainingOptions
from autovul.vision import attacks
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.victim import Victim
from autovul.vision.tools import gradient_variance, loss_contour
from tests.cuda.small import CPU, Hungry, large_patches, quiet, relative, scarce, small, there, weights_of

pytestmark = pytest.mark.cuda
FEW = 2  # of the eight images below


@pytest.fixture
def examples(device, dataset):
    return dataset.valid.pixels(slice(0, 8)).to(device), dataset.valid.labels[:8].to(device)


def sizes_of(model):
    """What went through the network: how many images each time."""
    sizes = []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    return sizes


def test_gradient_variance(device, examples):
    expected = gradient_variance(there(Hungry(), device), *examples, method="layers")
    model = there(Hungry(), device)
    sizes = sizes_of(model)
    with scarce(device, FEW):
        found = gradient_variance(model, *examples, method="layers")
    assert max(sizes) <= FEW < 8
    assert found.total == pytest.approx(expected.total, rel=1e-4)


@pytest.mark.parametrize("space", ["parameter", "input"])
def test_loss_contours(device, examples, space):
    grid = {"alphas": [-0.1, 0.0, 0.1], "betas": [0.0, 0.1], "batch_size": 8}
    expected = loss_contour(there(Hungry(), device), *examples, space, **grid)
    model = there(Hungry(), device)
    sizes = sizes_of(model)
    with scarce(device, FEW):
        found = loss_contour(model, *examples, space, **grid)
    assert max(sizes) <= FEW
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-6)


def test_pgd(device, dataset):
    attack, setup = attacks.create("pgd", iteration=3, pgd_eps=0.1, pgd_alpha=0.05), Setup(attack_batch=8)
    expected = attack.run(there(Hungry(), device), dataset, setup)
    model = there(Hungry(), device)
    sizes = sizes_of(model)
    with scarce(device, FEW):
        found = attack.run(model, dataset, setup)
    assert max(sizes) <= FEW
    for name, metric in expected.metrics.items():
        assert found.metrics[name].value == pytest.approx(metric.value, rel=1e-3, abs=1e-6), name
    assert found.counts["images"] == expected.counts["images"] > FEW


def test_queries(device, examples):
    model = there(Hungry(), device).eval()
    victim = Victim(model)
    expected = victim.logits(examples[0])
    sizes = sizes_of(model)
    with scarce(device, FEW):
        found = Victim(model, batch=8).logits(examples[0].cpu())
    assert max(sizes) <= FEW
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_single_image_too_many(device, examples):
    with (
        scarce(device, 0),
        pytest.raises(UserError, match="out of memory on (cuda:[0-9]+|cpu) with a single image"),
        torch.no_grad(),
    ):
        Victim(there(Hungry(), device)).logits(examples[0])


def test_training_names_batch_and_peak(device, dataset):
    batches = dataset.train_batches(8, device, 1)
    with scarce(device, FEW), pytest.raises(UserError) as caught:
        quiet(TrainingOptions(epoch=1), device).fit(there(Hungry(), device), batches)
    message = str(caught.value)
    assert f"out of memory on {device} with batches of 8, " in message
    assert "GiB held at the most: use a smaller --batch_size, or --microbatch 4" in message


def test_what_it_says_helps(device, dataset):
    """And is the same training; the network has no batch norm."""
    start, models = weights_of(Hungry()), []
    for microbatch in (None, FEW):
        model = there(Hungry(), device)
        options = TrainingOptions(epoch=1, lr=0.01, grad_clip=1.0, microbatch=microbatch)
        sizes = sizes_of(model)
        if microbatch is None:
            quiet(options, device).fit(model, dataset.train_batches(8, device, 1))
        else:
            with scarce(device, FEW):
                quiet(options, device).fit(model, dataset.train_batches(8, device, 1))
        assert max(sizes) == (microbatch or 8)
        models.append(weights_of(model) - start)
    assert relative(models[1], models[0]) < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_parts_of_a_batch(device, precision):
    """A network of the registry whose norms look at one image each."""
    start, changes = small("resnet18_comp", norm_layer="gn"), []
    for microbatch in (None, 3):
        model = there(start, device if precision == "fp32" or device.type == "cuda" else CPU)
        options = TrainingOptions(epoch=1, lr=0.01, microbatch=microbatch, precision=precision)
        quiet(options, device).fit(model, large_patches(16, 15).train_batches(8, device, 1))
        changes.append(weights_of(model) - weights_of(start))
    assert relative(changes[1], changes[0]) < (1e-3 if precision == "fp32" else 0.1)
