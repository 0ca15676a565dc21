"""Adversarial training: each step against its formula, a resume, and that it makes a network more robust."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from autovul.base.options import OptionError
from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.base.training.evaluation import cross_entropy_step
from autovul.vision.adversarial_training import AdversarialTrainingOptions, Replayed, adversarial, robust_accuracy
from autovul.vision.datasets import ImageBatches

EPS = 0.03


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


@pytest.fixture
def batches():
    """A class is a channel that is a little brighter than the others."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 3
    images = torch.randint(100, 150, (96, 3, 8, 8), generator=generator)
    images[torch.arange(96), labels] += 12
    return ImageBatches(images.to(torch.uint8), labels, 32, seed=1)


def options(form, **values):
    return AdversarialTrainingOptions(
        adv_train=form, adv_train_iter=values.pop("iterations", 3), adv_train_alpha=0.01, adv_train_eps=EPS, **values
    )


def first(batches):
    return next(batches.epoch(0))


def ascend_slowly(model, x, start, loss):
    """PGD by the letter, on a copy of the model in eval mode."""
    model = copy.deepcopy(model).eval()
    z = start
    for _ in range(3):
        z = z.detach().requires_grad_()
        loss(model(z)).backward()
        z = z.detach() + 0.01 * z.grad.sign()
        z = torch.minimum(torch.maximum(z, x - EPS), x + EPS).clamp(0, 1)
    return z


def test_pgd_is_cross_entropy_at_the_worst_point(batches):
    model, (x, y) = network().train(), first(batches)
    worst = ascend_slowly(model, x, x, lambda logits: functional.cross_entropy(logits, y))
    expected, _ = cross_entropy_step(copy.deepcopy(model), worst, y)
    step, same = adversarial(options("pgd"), batches)
    loss, logits = step(model, x, y)
    assert same is batches
    torch.testing.assert_close(loss, expected)
    assert loss > functional.cross_entropy(copy.deepcopy(model)(x), y)
    assert logits.shape == (32, 3)
    assert model.training


def test_random_init_draws_from_the_global_generator_and_stays_in_the_ball(batches):
    model, (x, y) = network(), first(batches)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    step, _ = adversarial(options("pgd", adv_train_random_init=True), batches)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(step(model.eval(), x, y)[0].item())
    assert losses[0] == losses[1] != losses[2]
    offset = seen[0] - x
    assert offset.min() < -0.99 * EPS and offset.max() > 0.99 * EPS
    assert offset.abs().mean() == pytest.approx(EPS / 2, rel=0.05)  # as of what is uniform
    assert all((z - x).abs().max() <= EPS + 1e-6 and z.min() >= 0 and z.max() <= 1 for z in seen)


def test_trades_is_its_formula(batches):
    """Its gradient too, by which the clean answers move as well; in float64, so that no sign hangs on rounding."""
    model, (x, y) = network().double().eval(), first(batches)
    model[-1].weight.data *= 20  # the divergence's two directions differ where answers move far
    x = x.double()
    torch.manual_seed(3)
    start = x + 1e-3 * torch.randn_like(x)
    clean = model(x).detach().softmax(1)

    def divergence(p, q):
        return (p * (p.log() - q.log())).sum(1).mean()

    worst = ascend_slowly(model, x, start.clamp(0, 1), lambda logits: divergence(clean, logits.softmax(1)))
    expected = functional.cross_entropy(model(x), y) + 6 * divergence(model(x).softmax(1), model(worst).softmax(1))
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(3)
    loss, _ = adversarial(options("trades"), batches)[0](model, x, y)
    torch.testing.assert_close(seen[-1], worst)
    torch.testing.assert_close(loss, expected)
    weights = [*model.parameters()]
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


def test_free_reuses_the_gradient_for_the_perturbation(batches):
    model = network().eval()
    step, replayed = adversarial(options("free"), batches)
    delta = torch.zeros(32, 3, 8, 8)
    for index, (x, y) in enumerate(replayed.epoch(0)):
        z = (x + delta[: len(x)]).clamp(0, 1).requires_grad_()
        expected = functional.cross_entropy(model(z), y)
        (gradient,) = torch.autograd.grad(expected, z)
        loss, _ = step(model, x, y)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        delta = (delta + EPS * gradient.sign()).clamp(-EPS, EPS)
        torch.testing.assert_close(step.delta, delta)
        if index == 4:
            break


def test_replayed_batches_resume_at_any_step(batches):
    replayed = Replayed(batches, 3)
    whole = [x for x, _ in replayed.epoch(2)]
    assert len(whole) == len(replayed) == 9
    assert replayed.num_samples == 3 * 96
    assert all(torch.equal(whole[0], whole[i]) for i in (1, 2))
    assert not torch.equal(whole[2], whole[3])
    for start in range(9):
        rest = [x for x, _ in replayed.epoch(2, start)]
        assert len(rest) == 9 - start
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def fit(batches, form, state=None, epochs=6, **training):
    step, source = adversarial(options(form), batches)
    trainer = Trainer(
        TrainingOptions(epoch=epochs, lr=0.05, **training), device="cpu", seed=5, step=step, state_path=state,
        progress=Progress("off"),
    )  # fmt: skip
    model = network()
    trainer.fit(model, source)
    return model


@pytest.mark.parametrize("form", ["pgd", "free", "trades"])
def test_it_makes_a_network_more_robust(form, batches):
    strict = options(form, iterations=10)
    plain = robust_accuracy(strict, fit(batches, None), batches)
    hardened = robust_accuracy(strict, fit(batches, form), batches)
    assert hardened > plain


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("form", ["pgd", "free", "trades"])
def test_every_parameter_is_trained_in_mixed_precision(form, precision, batches):
    before, after = network(), fit(batches, form, epochs=1, precision=precision, weight_decay=0.0)
    for (name, start), end in zip(before.named_parameters(), after.parameters(), strict=True):
        if name != "0.bias":  # of no consequence before a batch norm
            assert not torch.equal(start, end), name


@pytest.mark.parametrize("form", ["pgd", "free", "trades"])
def test_a_stopped_run_continues_to_the_same_bits(form, batches, tmp_path):
    undisturbed = fit(batches, form, epochs=3)
    fit(batches, form, tmp_path / "state", epochs=1)
    resumed = fit(batches, form, tmp_path / "state", epochs=3, resume=True, resume_changed=True)
    pairs = zip(undisturbed.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("form", [None, "pgd", "free", "trades"])
def test_passes_are_all_that_went_through_the_network(form, batches, tmp_path):
    model, forward, backward = network(), [], []

    def listen(module, inputs, output):
        forward.append(len(output))
        if output.requires_grad:
            output.register_hook(lambda gradient: backward.append(len(gradient)))

    model.register_forward_hook(listen)
    for epochs in (1, 2):
        step, source = adversarial(options(form), batches)
        recipe = TrainingOptions(epoch=epochs, resume=epochs > 1, resume_changed=True)
        trainer = Trainer(recipe, device="cpu", seed=5, step=step, state_path=tmp_path / "s", progress=Progress("off"))
        history = trainer.fit(model, source, batches)
    assert history.counts() == {"steps": 2 * len(source), "forward": sum(forward), "backward": sum(backward)}


def test_options():
    units = AdversarialTrainingOptions(adv_train_eps=16.0, adv_train_alpha=0.5).in_pixel_units()
    assert (units.adv_train_eps, units.adv_train_alpha, units.adv_train_eval_eps) == (16 / 255, 0.5, None)
    with pytest.raises(OptionError, match="adv_train_random_init goes with pgd"):
        AdversarialTrainingOptions(adv_train="free", adv_train_random_init=True)


@pytest.mark.parametrize("form", ["pgd", "trades"])
def test_the_adversary_of_a_confident_network_does_not_vanish_in_fp16(form, batches):
    """A gradient below 6e-8 is 0 in half precision, and its sign moves nothing."""
    model, (x, y) = network().train(), first(batches)
    model[-1].weight.data *= 1e-6
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    step, _ = adversarial(options(form, iterations=1), batches)
    with torch.autocast("cpu", torch.float16):
        step(model, x, y)
    attacked = next(images for images in reversed(seen) if not torch.equal(images, x))
    moved = (attacked - x).abs() > 5e-3  # TRADES starts from noise of 1e-3
    assert moved.float().mean() > 0.9  # a few pixels meet dead neurons alone
