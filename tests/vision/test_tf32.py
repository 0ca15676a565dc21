"""Convolutions do not round to TF32, wherever a network is asked, and PyTorch's settings are as before afterwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from autovul.base.trainer import Trainer, TrainingOptions, evaluate
from autovul.base.training.precision import without_tf32
from autovul.vision import attacks
from autovul.vision.adversarial_training import AdversarialTrainingOptions, robust_accuracy
from autovul.vision.attacks.base import untouched
from autovul.vision.tools import gradient_variance, loss_contour
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from tests.vision.attacks import patches
from tests.vision.attacks.small import OPTIONS

seen: list[bool] = []


class Watched(nn.Conv2d):
    def forward(self, x):
        seen.append(torch.backends.cudnn.allow_tf32)
        return super().forward(x)


@pytest.fixture
def watched(trained):
    """A network that notes what its convolution may do, where PyTorch has its defaults."""
    model, before = copy.deepcopy(trained), torch.backends.cudnn.allow_tf32
    model[0].__class__ = Watched
    torch.backends.cudnn.allow_tf32 = True
    seen.clear()
    yield model
    left, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, before
    assert left, "it is as it was"
    assert seen and not any(seen)


@pytest.mark.parametrize("name", attacks.list())
def test_attacks(name, dataset, watched):
    assert attacks.create(name, **OPTIONS[name]).run(watched, dataset, patches.setup()).status == "ok"


def test_training_and_evaluation(dataset, watched):
    Trainer(TrainingOptions(epoch=1), device="cpu", seed=1).fit(watched, dataset.train_batches(40, "cpu", 1))
    evaluate(watched, dataset.valid_batches(40, "cpu"))
    robust_accuracy(AdversarialTrainingOptions(adv_train="pgd"), watched, dataset.valid_batches(40, "cpu"))


def test_measurements(dataset, watched):
    images, labels = dataset.valid.pixels(slice(0, 8)), dataset.valid.labels[:8]
    gradient_variance(watched, images, labels, method="loop")
    loss_contour(watched, images, labels, alphas=[0.0, 0.1], betas=[0.0])
    GradientMeasurement(sample_num=4, norm_statistics="batch", statistics_num=64).run(watched, dataset)


def test_after_an_error_the_setting_is_as_before(watched):
    with pytest.raises(KeyError), untouched(watched) as model:
        model(torch.rand(1, 3, 8, 8))
        raise KeyError


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9")
def test_who_has_chosen_by_the_newer_names_is_left_alone():
    """There torch refuses to say what the older name is."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        torch.backends.cudnn.conv.fp32_precision = "tf32"
        with pytest.raises(RuntimeError, match="mix"):
            print(torch.backends.cudnn.allow_tf32)
        with without_tf32():
            assert torch.backends.cudnn.conv.fp32_precision == "tf32"
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    finally:
        torch.backends.cudnn.allow_tf32 = before
