"""A run's seed: everything that an attack or a tool draws follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autovul.base.trainer import TrainingOptions
from autovul.vision import attacks
from autovul.vision.datasets import Augmentation, ImageDataset
from autovul.vision.marks import watermark
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from tests.vision.attacks import patches
from tests.vision.attacks.small import OPTIONS

ADDED: dict[str, dict[str, Any]] = {  # so that there is more to draw
    "badnet": {"random_pos": True, "random_init": True},
    "imc": {"inner_start": "noise", "random_pos": True},
    "knockoff": {"sampling": "adaptive", "adaptive_round": 10},
    "membership": {"augment_members": True},
}
TOOLS = {
    "gradient variance": GradientMeasurement(sample_num=8, init="default", norm_statistics="batch", statistics_num=64),
    "loss contour": ContourMeasurement(sample_num=8, points=3),
}
VARIED = Augmentation(padding=1, flip=True)


def run(name, model, dataset, seed):
    """The figures of an attack or a tool."""
    if isinstance(tool := TOOLS.get(name), GradientMeasurement):
        result = tool.run(model, dataset, seed=seed)
    elif tool is not None:
        _, result = tool.measure(model, dataset, seed=seed)
    else:
        attack = attacks.create(name, **OPTIONS[name], **ADDED.get(name, {}))
        short = TrainingOptions(epoch=1, lr=0.05, validate_interval=1)
        result = attack.run(model, dataset, patches.setup(seed=seed, training=short, augmentation=VARIED))
    assert result.status == "ok"
    timed = ("seconds", "per_second")
    return result.metrics, [{n: v for n, v in row.items() if not n.endswith(timed)} for row in result.series]


@pytest.fixture
def seeds(monkeypatch):
    """What generators are seeded with, by their kind."""
    seen = set()

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            seen.add(("Generator", seed))
            return super().manual_seed(seed)

    def noted(kind):
        class Noted(kind):
            def __init__(self, seed, **options):
                seen.add((kind.__name__, seed))
                super().__init__(seed, **options)

        monkeypatch.setattr(np.random, kind.__name__, Noted)

    def noted_function(module, name):
        original = getattr(module, name)

        def instead(seed):
            seen.add((name, seed))
            return original(seed)

        monkeypatch.setattr(module, name, instead)

    monkeypatch.setattr(torch, "Generator", Generator)
    for kind in (np.random.RandomState, np.random.SeedSequence):
        noted(kind)
    for module, name in ((torch, "manual_seed"), (np.random, "default_rng")):
        noted_function(module, name)
    return seen


@pytest.mark.parametrize("name", [*attacks.list(), *TOOLS])
def test_everything_that_is_drawn_follows_the_runs_seed(name, dataset, trained, seeds, monkeypatch):
    """Figures alone would not tell: of several things drawn, one that stays the same hides behind the others."""
    split = dataset.attack_split()  # the same 30 % whatever the seed
    monkeypatch.setattr(ImageDataset, "attack_split", lambda self: split)
    found, seen = [], []
    for seed in (5, 5, 4000):
        seeds.clear()
        monkeypatch.setattr(watermark, "SEED", seed)  # a mark draws colours when it is made, before it is told a seed
        found.append(run(name, trained, dataset, seed))
        seen.append({*seeds})
    assert found[0] == found[1] != found[2]
    assert seen[0] == seen[1]
    assert not seen[0] & seen[2], "a seed that is not the run's"
