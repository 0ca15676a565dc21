"""Estimated gradients of functions whose gradient, and Hessian, are known."""

from __future__ import annotations

import pytest
import torch

from autovul.vision import attacks
from autovul.vision.attacks.evasion import black_box

SHAPE = (3, 2, 2)
SIZE = 12


@pytest.fixture
def images():
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Quadratic:
    """L(x) = ½ Σ c_j (x_j − z_j)², with another z for each image; counts its queries."""

    def __init__(self, curvature):
        generator = torch.Generator().manual_seed(1)
        self.curvature = curvature
        self.centre = torch.randn(4, SIZE, generator=generator, dtype=torch.float64)
        self.queries = 0

    def __call__(self, points, index):
        self.queries += len(points)
        return 0.5 * (self.curvature * (points.flatten(1) - self.centre[index]) ** 2).sum(1)

    def gradient(self, images):
        return self.curvature * (images.flatten(1) - self.centre)


def estimate(method, loss, images, query_num, sigma=1e-3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    options = {"query_num": query_num, "sigma": sigma, "generator": generator}
    return black_box.ESTIMATORS[method](loss, images, **options).flatten(1)


@pytest.mark.parametrize("method", ["nes", "sgd"])
def test_converges_to_the_gradient(method, images):
    loss = Quadratic(torch.linspace(0.5, 2, SIZE, dtype=torch.float64))
    found = estimate(method, loss, images, 20000)
    truth = loss.gradient(images)
    assert ((found - truth).norm(dim=1) < 0.1 * truth.norm(dim=1)).all()


def test_zoo_is_exact_on_the_pixels_it_looks_at(images):
    loss = Quadratic(torch.linspace(0.5, 2, SIZE, dtype=torch.float64))
    torch.testing.assert_close(estimate("zoo", loss, images, 2 * SIZE), loss.gradient(images))
    torch.testing.assert_close(estimate("zoo", loss, images, 10 * SIZE), loss.gradient(images))
    some = estimate("zoo", loss, images, 8)
    looked_at = some != 0
    assert looked_at.sum(1).tolist() == [4] * 4
    assert len({tuple(row.tolist()) for row in looked_at}) > 1
    torch.testing.assert_close(some[looked_at], loss.gradient(images)[looked_at])


def test_hess_estimates_the_preconditioned_gradient(images):
    """For Gaussian v, E[(vᵀCv) v vᵀ] = 2C + tr(C) I, so that the estimate's limit is known."""
    curvature = torch.tensor([100.0, *[1.0] * 11], dtype=torch.float64)
    loss = Quadratic(curvature)
    hessian = (2 * curvature + curvature.sum()) / curvature.sum() + 1
    truth = loss.gradient(images) / hessian
    found = estimate("hess", loss, images, 2000)
    # Were the curvature ignored, H would be 2 everywhere, which is 0.9 too much along the steep direction.
    assert ((found - truth).norm(dim=1) < 0.6 * truth.norm(dim=1)).all()


def test_inverse_root_is_that_of_the_matrix():
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    root = black_box._InverseRoot(probes, weights)
    identity = torch.eye(12, dtype=torch.float64)
    for row in range(2):
        matrix = identity.clone()
        for probe, weight in zip(probes[row].T, weights[row], strict=True):
            matrix += weight / 5 / weights[row].mean() * torch.outer(probe, probe)
        values, vectors = torch.linalg.eigh(matrix)
        expected = vectors @ torch.diag(values**-0.5) @ vectors.T
        torch.testing.assert_close(root.apply(identity.expand(2, 12, 12))[row], expected)


def test_no_curvature_means_no_preconditioning():
    root = black_box._InverseRoot(torch.randn(1, 12, 5), torch.zeros(1, 5))
    columns = torch.randn(1, 12, 3)
    assert torch.equal(root.apply(columns), columns)


@pytest.mark.parametrize("method", black_box.ESTIMATORS)
@pytest.mark.parametrize("query_num", [8, 20])
@pytest.mark.parametrize("batch", [3, 512])
def test_asks_exactly_as_often_as_it_may(method, query_num, batch, images, monkeypatch):
    """However the queries are batched; and batching changes no number but by the order of sums."""
    loss = Quadratic(torch.ones(SIZE, dtype=torch.float64))
    whole = estimate(method, loss, images, query_num)
    assert loss.queries == 4 * query_num
    monkeypatch.setattr(black_box, "QUERY_BATCH", batch)
    torch.testing.assert_close(estimate(method, loss, images, query_num), whole)


def test_zoo_looks_at_other_pixels_at_every_step():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIZE, 3))
    clean = torch.full((5, *SHAPE), 0.5)
    options = {"grad_method": "zoo", "query_num": 4, "stop_threshold": None}
    seen = []
    for steps in (1, 6):
        moved, _ = attacks.create("pgd", iteration=steps, **options).perturb(model, clean, torch.arange(5) % 3)
        seen.append((moved != clean).flatten(1).sum(1))
    assert seen[0].tolist() == [2] * 5
    assert seen[1].min() > 4


@pytest.mark.parametrize("method", black_box.ESTIMATORS)
def test_an_attack_with_it_succeeds_and_counts(method):
    """A linear model of 12 pixels: every estimate has the right sign often enough to lower the score."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIZE, 3))
    clean = torch.rand(5, *SHAPE) * 0.4 + 0.3
    attack = attacks.create(
        "pgd", grad_method=method, query_num=20, iteration=10, pgd_eps=0.2, pgd_alpha=0.04, stop_threshold=None
    )
    target = attack.choose_target(model(clean))
    adversarial, _ = attack.perturb(model, clean, target)
    before, after = (model(x).softmax(1).gather(1, target[:, None]) for x in (clean, adversarial))
    assert (after > before).all()
    outcome = attack._attack(model, clean, target, torch.Generator().manual_seed(0))
    assert outcome.passes.queries == 5 * 10 * 20
