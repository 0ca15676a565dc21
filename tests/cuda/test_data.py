"""Images stay on the device, and are varied there as on the CPU."""

from __future__ import annotations

import pytest
import torch

from autovul.vision.datasets import Augmentation, ImageBatches, batches
from autovul.vision.datasets.batches import generator_of
from tests.cuda.small import large_patches
from tests.vision.attacks import backdoors

pytestmark = pytest.mark.cuda
VARIED = Augmentation(padding=4, flip=True, cutout_length=16)


def make(device, **options):
    split = large_patches().train
    return ImageBatches(split.images, split.labels, 32, device, seed=1, augment=VARIED, **options)


def test_the_images_lie_on_the_device(device):
    made = make(device)
    assert made.resident and made.images.device == made.targets.device == device
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    for _ in range(2):
        for images, labels in made.epoch(0):
            assert images.device == labels.device == device
        del images, labels
    if device.type == "cuda":
        assert torch.cuda.memory_allocated(device) == before, "an epoch leaves nothing behind"


def test_what_does_not_fit_stays_with_the_host(device, monkeypatch):
    """And its batches are the same."""
    monkeypatch.setattr(batches, "RESIDENT_PART", 0.0)
    made = make(device)
    assert made.resident == (device.type == "cpu")  # on a CPU there is nowhere else
    made = make(device, resident=False)
    assert made.images.device.type == "cpu"
    for (images, labels), (others, same) in zip(made.epoch(3), make(device, resident=True).epoch(3), strict=True):
        assert images.device == device and torch.equal(images, others) and torch.equal(labels, same)


def test_crops_mirrors_and_squares_are_those_of_the_cpu(device):
    """As docs/data.md promises, to the bit."""
    for epoch in range(2):
        for (images, labels), (others, same) in zip(make(device).epoch(epoch), make("cpu").epoch(epoch), strict=True):
            assert torch.equal(images.cpu(), others) and torch.equal(labels.cpu(), same)


def test_auto_augment_is_that_of_the_cpu_but_for_rounding(device):
    images, vary = large_patches().train.images, Augmentation(auto_augment=True)
    found, expected = (vary(images.to(place), generator_of(1)).cpu().int() for place in (device, "cpu"))
    # One level, or a pixel of an edge that a turned image takes from its neighbour.
    assert float(((found - expected).abs() <= 1).double().mean()) > 0.99
    assert float((found != images.int()).double().mean()) > 0.3, "it changes the images"


@pytest.mark.parametrize("random_pos", [True, False])
def test_triggers_are_those_of_the_cpu(device, dataset, random_pos):
    images, trigger = dataset.train.pixels(), backdoors.trigger(random_pos=random_pos, mark_alpha=0.3)
    found = trigger.to(device).apply(images.to(device), generator=generator_of(1))
    torch.testing.assert_close(found.cpu(), trigger.apply(images, generator=generator_of(1)), rtol=0, atol=1e-6)
