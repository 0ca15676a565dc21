"""A model that has fewer logits than the data has classes is refused in one line, whatever is to be done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from autovul.base.errors import UserError
from autovul.vision import attacks
from autovul.vision.datasets import ImageDataset
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from autovul.vision.validation import validate
from tests.vision.attacks.patches import CLASSES, make_dataset

Work = Callable[[nn.Module, ImageDataset], Any]
ATTACKS: list[tuple[str, dict[str, Any]]] = [
    ("pgd", {}),
    ("membership", {"method": "loss", "confidence_filter": "none"}),
    ("knockoff", {}),
    ("badnet", {"mark_height": 1, "mark_width": 1}),
    ("trojannn", {"mark_height": 1, "mark_width": 1}),
    ("poison_random", {}),
    ("poison_basic", {}),
]


def network(logits: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, logits))


@pytest.mark.parametrize(
    "work",
    [
        *(pytest.param(attacks.create(name, **options).run, id=name) for name, options in ATTACKS),
        validate,
        ContourMeasurement(points=3).measure,
        GradientMeasurement().run,
    ],
)
def test_too_few_logits(work: Work) -> None:
    message = f"the model gives {CLASSES - 1} logits and patches has {CLASSES} classes"
    with pytest.raises(UserError, match=message):
        work(network(CLASSES - 1), make_dataset())


@pytest.mark.parametrize("work", [validate, ContourMeasurement(points=3).measure, GradientMeasurement().run])
def test_more_logits_are_allowed(work: Work) -> None:
    assert work(network(CLASSES + 2), make_dataset())
