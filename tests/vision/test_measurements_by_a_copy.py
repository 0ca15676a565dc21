"""What only asks a network of the project, asks a copy in the faster layout, and finds what the network would say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from autovul.vision import datasets, models
from autovul.vision.attacks.backdoor.measure import measure
from autovul.vision.attacks.retraining import clean_accuracy
from autovul.vision.datasets import ImageDataset
from autovul.vision.marks import Watermark
from autovul.vision.validation import validate

Figures = tuple[float, ...]


def _validated(model: nn.Module, dataset: ImageDataset) -> Figures:
    result = validate(model, dataset)
    assert result.counts == {"images": len(dataset.valid), "forward": len(dataset.valid)}
    metrics = result.metrics
    return tuple(float(metrics[name].value or 0) for name in ("valid_accuracy", "top5_accuracy", "valid_loss"))


def _accuracy(model: nn.Module, dataset: ImageDataset) -> Figures:
    return (clean_accuracy(model, dataset, 100),)


def _backdoor(model: nn.Module, dataset: ImageDataset) -> Figures:
    trigger = Watermark(data_shape=dataset.data_shape, mark_alpha=0.0).trigger(1)
    found = measure(model, dataset, trigger, 3, batch_size=100, seed=1)
    return found.accuracy, found.success, found.success_all, found.confidence or 0.0, found.jaccard or 0.0


@pytest.mark.parametrize("figures", [_validated, _accuracy, _backdoor])
def test_the_copy_is_asked_and_the_network_is_left_alone(figures: Callable[[nn.Module, ImageDataset], Figures]) -> None:
    torch.manual_seed(0)
    dataset = datasets.create("digits")
    model = models.create("darts", dataset=dataset, layers=2, init_channels=4).train()
    before = [(parameter.stride(), parameter.clone()) for parameter in model.parameters()]
    asked = set()
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    last.register_forward_pre_hook(lambda layer, _: asked.add(layer is last))
    found = figures(model, dataset)
    assert asked == {False}
    assert model.training
    for parameter, (stride, value) in zip(model.parameters(), before, strict=True):
        assert parameter.stride() == stride and torch.equal(parameter, value)
    # A network of one's own, which this wrapped one is taken for, is asked itself.
    assert found == pytest.approx(figures(nn.Sequential(model), dataset), rel=1e-4)
    assert asked == {False, True}
