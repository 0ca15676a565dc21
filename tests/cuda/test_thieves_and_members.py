"""Membership and extraction on the device: against distances that are known, and against the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autovul.vision import attacks
from autovul.vision.attacks import hop_skip_jump
from autovul.vision.attacks.base import Setup
from autovul.vision.attacks.hop_skip_jump import HopSkipJump
from autovul.vision.attacks.victim import questioned
from autovul.vision.datasets import Augmentation
from tests.cuda.small import CPU, large_patches, quiet, small, there
from tests.vision.attacks import patches

pytestmark = pytest.mark.cuda


class HalfSpaces(nn.Module):
    """Two classes with a plane between them."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.normal = nn.Parameter(torch.randn(3 * 8 * 8, generator=generator))

    def margin(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1) - 0.5) @ self.normal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        margin = self.margin(x)
        return torch.stack([margin, -margin], 1)


def test_the_distance_to_a_plane(device):
    model = HalfSpaces()
    images = 0.4 + 0.2 * torch.rand(30, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = (model.margin(images).abs() / model.normal.norm()).detach()
    with questioned(there(model, device)) as victim:
        classes = victim.labels(images).cpu()
        points = HopSkipJump(max_iter=25, max_queries=10000).run(victim, images, classes, range(30))
        assert bool((victim.labels(points.images).cpu() != classes).all())
    assert points.images.device == device and bool(points.found.all())
    found = (points.images.cpu() - images).flatten(1).norm(dim=1)
    assert bool((found > 0.99 * expected).all()), "nothing is nearer than the plane"
    assert float((found / expected).median()) < 1.3


@pytest.fixture
def same_noise(monkeypatch):
    """Noise from the host's generators, the same on both devices."""
    generator = torch.Generator
    monkeypatch.setattr(hop_skip_jump.torch, "Generator", lambda *_: generator())

    def draw(self, kind, index, size):
        shape = (*size, *self.images.shape[1:])
        draws = [kind(shape, generator=self.generators[i], dtype=self.images.dtype) for i in index.tolist()]
        return torch.stack(draws).to(self.images.device)

    monkeypatch.setattr(hop_skip_jump._Search, "_draw", draw)


def test_membership(device, dataset, trained, same_noise):
    options = {"sample_num": 30, "max_iter": 4, "confidence_filter": "none"}
    attack = attacks.create("membership", **options)
    expected, found = (attack.run(there(trained, place), dataset, patches.setup()) for place in (CPU, device))
    for name, metric in expected.metrics.items():
        value, rel = found.metrics[name].value, 0.05 if name.startswith("boundary") else 1e-3
        if metric.value is None:
            assert value is None
            continue
        # Next to the boundary an answer may be another, and so all that follows from it.
        assert value == pytest.approx(metric.value, rel=rel, abs=0.03), name
    assert found.counts["forward"] == pytest.approx(expected.counts["forward"], rel=0.05)


def test_extraction(device):
    dataset, victim = large_patches(), small("resnet18_comp")
    recipe = patches.RECIPE.model_copy(update={"epoch": 2, "lr": 0.02})
    plain = Augmentation(padding=0, flip=False)
    quiet(recipe, CPU).fit(victim, dataset.train_batches(20, CPU, 1, plain))
    attack = attacks.create("knockoff", nb_stolen=(40, 80), label_mode="soft", augment="none")
    setup = Setup(training=recipe, batch_size=20, augmentation=plain)
    transfers = [attack.query(there(victim, place), dataset, setup) for place in (CPU, device)]
    assert torch.equal(transfers[0].images, transfers[1].images)
    torch.testing.assert_close(transfers[1].answers, transfers[0].answers, rtol=1e-3, atol=1e-5)
    expected, found = (attack.run(there(victim, place), dataset, setup) for place in (CPU, device))
    assert found.status == expected.status == "ok" and found.counts == expected.counts
    value = {name: metric.value for name, metric in expected.metrics.items()}
    assert found.metrics["victim_accuracy"].value == value["victim_accuracy"]
    assert found.metrics["cross_entropy"].value == pytest.approx(value["cross_entropy"], rel=0.02)
    assert found.metrics["agreement"].value == pytest.approx(value["agreement"], abs=5)
