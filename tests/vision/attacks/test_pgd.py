"""PGD against a linear model whose optimum is known, a slow twin, and two other libraries."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.vision import attacks

EPS = 8 / 255


class Linear(nn.Module):
    """Two classes, logits (w·x, −w·x): the best perturbation in a ball is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 8 * 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        score = x.flatten(1) @ self.weight
        return torch.stack([score, -score], 1)


def small_network(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(512, 5)
    )
    with torch.no_grad():
        model[5].weight *= 8  # confidences that a small perturbation moves
    return model


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def inner_images():
    """Images so far inside [0, 1] that no step meets the border."""
    return 0.3 + 0.4 * torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def classes(*values):
    return torch.tensor(values)


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("untargeted", [False, True])
def test_reaches_the_optimum_of_a_linear_model(norm, untargeted, inner_images):
    model, eps = Linear(), 0.05
    attack = attacks.create(
        "pgd",
        norm=norm,
        pgd_eps=eps,
        pgd_alpha=0.02,
        iteration=10,
        stop_threshold=None,
        target_idx=0 if untargeted else -1,
    )
    # Lowering the score is what reaching class 1, and what leaving class 0, asks for.
    target = torch.full((6,), 0 if untargeted else 1)
    adversarial, _ = attack.perturb(model, inner_images, target)
    weight = model.weight.detach()
    best = eps * (weight.abs().sum() if norm == "inf" else weight.norm())
    moved = inner_images.flatten(1) @ weight - adversarial.flatten(1) @ weight
    torch.testing.assert_close(moved, best.expand(6), rtol=1e-4, atol=1e-4)


def slow_twin(model, images, target, attack):
    """The artifact's loop, one image at a time, with its own forward passes for the stop check."""
    adversarial, iterations = [], []
    for clean, goal in zip(images, target, strict=True):
        x, taken = clean[None], -1

        def done(x, goal=goal):
            probability = model(x).softmax(1)[0]
            top = bool(probability.argmax() == goal) or not attack.require_class
            if attack.untargeted:
                return bool(probability[goal] <= attack.stop_threshold) and bool(probability.argmax() != goal)
            return bool(probability[goal] > attack.stop_threshold) and top

        for step in range(attack.iteration):
            if attack.stop_threshold is not None and done(x):
                taken = step
                break
            x = x.detach().requires_grad_()
            loss = functional.cross_entropy(model(x), goal[None])
            loss = -loss if attack.untargeted else loss
            (gradient,) = torch.autograd.grad(loss, x)
            if attack.norm == "inf":
                moved = x.detach() - attack.pgd_alpha * gradient.sign()
                offset = (moved - clean).clamp(-attack.pgd_eps, attack.pgd_eps)
            else:
                offset = x.detach() - attack.pgd_alpha * gradient / gradient.norm() - clean
                offset = offset * min(1.0, attack.pgd_eps / float(offset.norm()))
            x = (clean + offset).clamp(0, 1)
        else:
            if attack.stop_threshold is not None and done(x):
                taken = attack.iteration
        adversarial.append(x.detach()[0])
        iterations.append(taken)
    return torch.stack(adversarial), torch.tensor(iterations)


@pytest.mark.parametrize("norm,eps,alpha", [("inf", EPS, 2 / 255), ("2", 1.0, 0.3)])
@pytest.mark.parametrize("target_idx", [-1, 0])
@pytest.mark.parametrize("require_class", [False, True])
@pytest.mark.parametrize("stop_threshold", [None, 0.15, 0.25, 0.9])
def test_equals_the_slow_twin(norm, eps, alpha, target_idx, require_class, stop_threshold, images):
    model = small_network().eval()
    attack = attacks.create(
        "pgd", norm=norm, pgd_eps=eps, pgd_alpha=alpha, iteration=7, target_idx=target_idx, require_class=require_class,
        stop_threshold=stop_threshold,
    )  # fmt: skip
    logits = model(images)
    target = attack.choose_target(logits)
    adversarial, iterations = attack.perturb(model, images, target)
    expected, expected_iterations = slow_twin(model, images, target, attack)
    torch.testing.assert_close(adversarial, expected, rtol=0, atol=2e-6)
    assert iterations.tolist() == expected_iterations.tolist()


def test_some_stop_and_some_do_not(images):
    """The case that the twin comparison must contain to mean anything."""
    model = small_network().eval()
    attack = attacks.create("pgd", stop_threshold=0.15, iteration=7)
    _, iterations = attack.perturb(model, images, attack.choose_target(model(images)))
    assert len(set(iterations.tolist())) > 1


@pytest.mark.parametrize("norm,eps", [("inf", EPS), ("2", 0.5), ("inf", 1.0)])
@pytest.mark.parametrize("grad_method", ["white", "nes"])
@pytest.mark.parametrize("num_restart", [0, 2])
def test_stays_in_the_ball_and_in_range(norm, eps, grad_method, num_restart, images):
    images[0], images[1] = 0.0, 1.0
    attack = attacks.create(
        "pgd", norm=norm, pgd_eps=eps, pgd_alpha=eps, iteration=3, grad_method=grad_method, query_num=4,
        num_restart=num_restart, stop_threshold=0.999999,
    )  # fmt: skip
    adversarial, _ = attack.perturb(small_network().eval(), images, classes(0, 1, 2, 3, 4, 0))
    offset = (adversarial - images).flatten(1)
    size = offset.abs().amax(1) if norm == "inf" else offset.norm(dim=1)
    assert size.max() <= eps + 1e-6
    assert size.max() > 0.2 * eps
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_no_stop_condition_means_no_further_forward_pass(images):
    model, calls = small_network().eval(), []
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    attack = attacks.create("pgd", iteration=5, stop_threshold=None)
    _, iterations = attack.perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    assert calls == [6] * 5
    assert iterations.tolist() == [-1] * 6


def test_one_forward_pass_a_step_with_a_stop_condition(images):
    model, calls = small_network().eval(), []
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    attack = attacks.create("pgd", iteration=5, stop_threshold=1.0, require_class=True)
    attack.perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    assert calls == [6] * 6


def test_already_done_takes_no_step(images):
    model = small_network().eval()
    attack = attacks.create("pgd", stop_threshold=0.0)
    adversarial, iterations = attack.perturb(model, images, model(images).argmax(1))
    assert torch.equal(adversarial, images)
    assert iterations.tolist() == [0] * 6


def test_zero_iterations_are_judged(images):
    model = small_network().eval()
    adversarial, iterations = attacks.create("pgd", iteration=0, stop_threshold=0.0).perturb(
        model, images, model(images).argmax(1)
    )
    assert torch.equal(adversarial, images)
    assert iterations.tolist() == [0] * 6


def test_restarts_change_failures_only_and_keep_the_better_try(images):
    model = small_network().eval()
    options = {"iteration": 3, "stop_threshold": 0.15, "pgd_eps": 0.02, "pgd_alpha": 0.005}
    target = attacks.create("pgd").choose_target(model(images))
    once, taken = attacks.create("pgd", **options).perturb(model, images, target)
    more, taken_more = attacks.create("pgd", num_restart=5, **options).perturb(model, images, target)
    done = taken >= 0
    assert done.any()
    assert not done.all()
    assert torch.equal(once[done], more[done])
    assert torch.equal(taken[done], taken_more[done])

    def loss(x):
        return functional.cross_entropy(model(x), target, reduction="none")

    failed = ~done & (taken_more < 0)
    assert (loss(more)[failed] <= loss(once)[failed] + 1e-6).all()
    # An image that a restart saves has taken the steps of every try.
    assert ((taken_more[~done] < 0) | (taken_more[~done] >= 3)).all()


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_a_random_start_is_uniform_in_the_ball(norm):
    """Of two pixels: the share of the ball within a radius r is r²."""
    images, generator = torch.zeros(4000, 1, 1, 2), torch.Generator().manual_seed(0)
    offset = attacks.create("pgd", norm=norm, pgd_eps=0.3)._random_offset(images, generator).flatten(1) / 0.3
    size = offset.abs().amax(1) if norm == "inf" else offset.norm(dim=1)
    shares = size.sort().values ** 2
    assert (shares - torch.linspace(0, 1, 4000)).abs().max() < 0.03
    assert offset.mean(0).tolist() == pytest.approx([0, 0], abs=0.03)


def test_nes_points_along_the_true_gradient(inner_images):
    """The estimate's cosine with a known gradient is about sqrt(pairs / dimensions)."""
    model = Linear()
    attack = attacks.create(
        "pgd", grad_method="nes", query_num=2000, iteration=1, norm="2", pgd_eps=1.0, pgd_alpha=0.1, stop_threshold=None
    )
    adversarial, _ = attack.perturb(model, inner_images, classes(1, 1, 1, 1, 1, 1))
    step = (adversarial - inner_images).flatten(1)
    cosine = functional.cosine_similarity(step, -model.weight.detach()[None], dim=1)
    assert (cosine > 0.8).all()


def test_nes_counts_its_queries_and_its_stop_checks(images):
    model = small_network().eval()
    generator = torch.Generator().manual_seed(0)
    for threshold, expected in ((None, 6 * 3 * 10), (1.0, 6 * (3 * (10 + 1) + 1))):
        attack = attacks.create("pgd", grad_method="nes", query_num=10, iteration=3, stop_threshold=threshold)
        outcome = attack._attack(model, images, classes(0, 1, 2, 3, 4, 0), generator)
        assert outcome.passes.queries == expected
        assert outcome.passes.backward == 0


def test_model_and_random_state_are_untouched(images):
    model = small_network().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[0].bias.grad = torch.ones_like(model[0].bias)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    attack = attacks.create("pgd", grad_method="nes", query_num=4, num_restart=1, iteration=2)
    attack.perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    attacks.create("pgd", iteration=2).perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    assert [module.training for module in model] == [True, False, True, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5
    assert torch.equal(model[0].bias.grad, torch.ones(8))
    assert all(p.grad is None for p in [model[0].weight, *model[1].parameters(), *model[5].parameters()])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_draws_at_inference_leaves_the_random_state(images):
    class Noisy(nn.Sequential):
        def forward(self, x):
            return super().forward(x + 0.01 * torch.rand_like(x))

    state = torch.get_rng_state()
    attacks.create("pgd", iteration=2).perturb(Noisy(*small_network()), images, classes(0, 1, 2, 3, 4, 0))
    assert torch.equal(torch.get_rng_state(), state)


class Shaken(Linear):
    """The linear model with weights that are shaken at each pass, so that the sign of a gradient is mostly chance."""

    def forward(self, x):
        shaken = self.weight * (1 + 6 * torch.randn(len(x), len(self.weight), device=x.device))
        score = (x.flatten(1) * shaken).sum(1)
        return torch.stack([score, -score], 1)


def test_the_mean_of_many_gradients_is_that_of_the_expected_loss(inner_images):
    """L is monotone in the score, whose mean gradient is the weight: the best step goes along its signs."""
    agreement = []
    for samples in (1, 200):
        options = {"iteration": 1, "stop_threshold": None, "target_idx": 1, "eot_samples": samples}
        torch.manual_seed(0)
        adversarial, _ = attacks.create("pgd", **options).perturb(Shaken(), inner_images, classes(*[0] * 6))
        signs = (adversarial - inner_images).flatten(1).sign()
        agreement.append((signs == Shaken().weight.detach().sign()).double().mean().item())
    assert agreement[0] < 0.65 and agreement[1] > 0.9


@pytest.mark.parametrize(("stop_threshold", "steps"), [(None, 2 * 7 * 6), (0.5, 35)])
def test_many_gradients_of_a_network_that_does_not_draw_are_one(stop_threshold, steps, images):
    """And images that have stopped take no part in them."""
    model, seen, found = small_network().eval(), [], {}
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    options = {"stop_threshold": stop_threshold, "num_restart": 1, "pgd_eps": 0.1, "pgd_alpha": 0.03}
    for samples in (1, 4):
        seen.clear()
        attack = attacks.create("pgd", eot_samples=samples, **options)
        found[samples] = attack._attack(model, images, classes(0, 1, 2, 3, 4, 0), torch.Generator().manual_seed(0))
        assert found[samples].passes.forward == sum(seen)
    assert torch.allclose(found[1].images, found[4].images, atol=1e-6)
    assert torch.equal(found[1].iterations, found[4].iterations)
    assert (found[1].passes.backward, found[4].passes.backward) == (steps, 4 * steps)
    assert found[4].passes.forward == found[1].passes.forward + 3 * steps


def test_a_buffer_that_is_replaced_comes_back(images):
    class Counting(nn.Sequential):
        def __init__(self):
            super().__init__(*small_network())
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen = self.seen + len(x)
            return super().forward(x)

    model = Counting()
    seen = model.seen
    with torch.no_grad():  # whatever the mode outside
        attacks.create("pgd").perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    assert model.seen is seen and seen == 0


def test_same_seed_same_images(images):
    model = small_network().eval()
    attack = attacks.create("pgd", grad_method="nes", query_num=4, iteration=2)
    target = classes(0, 1, 2, 3, 4, 0)
    first, again, other = (attack.perturb(model, images, target, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_network_that_gives_nan_is_refused(images):
    model = small_network().eval()
    nn.init.constant_(model[0].weight, math.nan)
    for options in ({}, {"stop_threshold": None}, {"grad_method": "nes"}, {"norm": "2"}):
        with pytest.raises(NonFiniteOutput):
            attacks.create("pgd", **options).perturb(model, images, classes(0, 1, 2, 3, 4, 0))


def test_l2_without_gradient_stays_where_it_is(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    nn.init.zeros_(model[1].weight)
    adversarial, _ = attacks.create("pgd", norm="2").perturb(model, images, classes(0, 1, 2, 3, 4, 0))
    assert torch.equal(adversarial, images)


@pytest.mark.parametrize("factor", [1.0, 60.0])
def test_an_l2_step_has_its_length_however_small_the_gradient(factor, inner_images):
    """Of a saturated network: the squares of its gradient's entries are 0 in single precision."""

    class Saturated(nn.Module):
        def forward(self, x):
            score = factor + 1e-3 * x.mean((1, 2, 3))
            return torch.stack([torch.zeros_like(score), -score], 1)

    options = {"norm": "2", "pgd_alpha": 0.1, "pgd_eps": 3, "iteration": 1, "stop_threshold": None, "target_idx": 0}
    adversarial, _ = attacks.create("pgd", **options).perturb(Saturated(), inner_images, classes(*[0] * 6))
    assert (adversarial - inner_images).flatten(1).norm(dim=1) == pytest.approx([0.1] * 6, rel=1e-4)


def test_the_class_to_leave_is_the_predicted_one_among_equal_logits():
    attack = attacks.create("pgd", target_idx=0)
    for count in (5, 40, 100):
        logits = torch.zeros(3, count)
        assert torch.equal(attack.choose_target(logits), logits.argmax(1))


@pytest.mark.parametrize("options", [{}, {"num_restart": 1}, {"grad_method": "nes", "query_num": 2}])
def test_logits_may_have_another_type_than_images(options, images):
    model = small_network().eval()
    attack = attacks.create("pgd", iteration=2, **options)
    target = classes(0, 1, 2, 3, 4, 0)
    expected, _ = attack.perturb(model, images, target)

    class Wider(nn.Module):
        def forward(self, x):
            return model(x).double()

    found, _ = attack.perturb(Wider(), images, target)
    assert found.dtype == torch.float32
    differs = (found - expected).abs() > 1e-6
    assert float(differs.float().mean()) < 0.01  # a sign may turn where a gradient is nothing but rounding


def test_no_images_give_no_images():
    adversarial, iterations = attacks.create("pgd").perturb(small_network(), torch.rand(0, 3, 8, 8), classes().long())
    assert adversarial.shape == (0, 3, 8, 8) and iterations.shape == (0,)


def test_nan_that_comes_with_the_last_step_is_refused(images):
    class Late(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            logits = x.flatten(2).mean(2)
            return logits * math.nan if self.calls > 1 else logits

    with pytest.raises(NonFiniteOutput):
        attacks.create("pgd", iteration=1).perturb(Late(), images, classes(0, 1, 2, 0, 1, 2))


@pytest.mark.parametrize(
    "bad,message",
    [
        (lambda x, t: (x + 1, t), "must lie in"),
        (lambda x, t: (x[0], t), "shape"),
        (lambda x, t: ((x * 255).byte(), t), "floating-point"),
        (lambda x, t: (x, t.float()), "int64"),
        (lambda x, t: (x, t[:3]), "an int64 tensor .6,., got torch.int64 of shape .3,."),
        (lambda x, t: (x.numpy(), t), "images must be .* tensor .*got numpy.ndarray"),
        (lambda x, t: (x, t.numpy()), "target must be .* tensor .*got numpy.ndarray"),
        (lambda x, t: (x, t - 1), "at least 0"),
        (lambda x, t: (x, t + 1), "from 0 to 4"),
    ],
)
@pytest.mark.parametrize("iteration", [0, 7])
def test_wrong_input_is_refused(bad, message, iteration, images):
    with pytest.raises(ValueError, match=message):
        attack = attacks.create("pgd", iteration=iteration)
        attack.perturb(small_network(), *bad(images, classes(0, 1, 2, 3, 4, 0)))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"iterations": 3}, "nearest: iteration"),
        ({"iteration": -1}, "iteration"),
        ({"pgd_eps": math.nan}, "finite"),
        ({"norm": "1"}, "norm"),
        ({"grad_method": "nes", "query_num": 7}, "even"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        attacks.create("pgd", **options)


def test_command_line_units():
    def units(**options):
        attack = attacks.create("pgd", **options).in_pixel_units()
        return attack.pgd_eps, attack.pgd_alpha

    assert units(pgd_eps=8.0, pgd_alpha=2.0) == (8 / 255, 2 / 255)
    assert units(pgd_eps=0.5, pgd_alpha=1.0) == (0.5, 1 / 255)
    assert units(pgd_eps=8.0, pgd_alpha=2.0, norm="2") == (8.0, 2.0)
    assert units(pgd_eps=255.0, pgd_alpha=12.75) == (1.0, 0.05)
    assert units(pgd_eps=1.0, pgd_alpha=6 / 255) == (1 / 255, 6 / 255), "a default of a data set"
    assert units(pgd_eps=1.0) == (1 / 255, 2 / 255)
    assert units(pgd_eps=8.0, pgd_alpha=0.05) == (8 / 255, 0.05), "less than the ball is wide"
    assert units(pgd_eps=1.0, pgd_alpha=0.05, norm="2") == (1.0, 0.05)


@pytest.mark.parametrize(("eps", "alpha"), [(1.0, 0.05), (1.0, 0.2), (2.0, 0.02), (8.0, 0.5), (1.0, 0.01)])
def test_a_step_in_another_unit_than_the_radius_is_refused(eps, alpha):
    attack = attacks.create("pgd", pgd_eps=eps, pgd_alpha=alpha)
    with pytest.raises(OptionError) as told:
        attack.in_pixel_units()
    assert f"pgd_eps {eps:g} is read as {eps:g}/255 and pgd_alpha {alpha:g} as it stands" in str(told.value)
    assert "255 for the whole range" in str(told.value) and "\n" not in str(told.value)


def test_the_head_line_tells_radius_and_step():
    def short(**options):
        return attacks.create("pgd", **options).in_pixel_units().in_short()

    assert short(pgd_eps=8.0, pgd_alpha=0.05) == "L∞, ε 8/255, step 12.75/255"
    assert short(pgd_eps=255.0, pgd_alpha=12.75) == "L∞, ε 255/255, step 12.75/255"
    assert short(norm="2", pgd_eps=1.5, pgd_alpha=0.25) == "L2, ε 1.5, step 0.25"


@pytest.mark.parametrize("norm,eps,alpha", [("inf", EPS, 2 / 255), ("2", 1.0, 0.3)])
@pytest.mark.parametrize("untargeted", [False, True])
def test_equals_foolbox(norm, eps, alpha, untargeted, images):
    foolbox = pytest.importorskip("foolbox")
    model = small_network().eval()
    target = classes(0, 1, 2, 3, 4, 0)
    kind = foolbox.attacks.LinfPGD if norm == "inf" else foolbox.attacks.L2PGD
    criterion = (
        foolbox.criteria.Misclassification(target) if untargeted else foolbox.criteria.TargetedMisclassification(target)
    )
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    expected = kind(abs_stepsize=alpha, steps=10, random_start=False).run(wrapped, images, criterion, epsilon=eps)
    attack = attacks.create(
        "pgd",
        norm=norm,
        pgd_eps=eps,
        pgd_alpha=alpha,
        iteration=10,
        stop_threshold=None,
        target_idx=0 if untargeted else -1,
    )
    torch.testing.assert_close(attack.perturb(model, images, target)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm,eps,alpha", [("inf", EPS, 2 / 255), ("2", 0.3, 0.1)])
@pytest.mark.parametrize("untargeted", [False, True])
def test_equals_art(norm, eps, alpha, untargeted, inner_images, monkeypatch, tmp_path):
    """Away from the borders of [0, 1], where ART clips before it projects (foolbox and we: after)."""
    monkeypatch.setenv("HOME", str(tmp_path))  # ART writes a folder there when it is imported
    classifiers = pytest.importorskip("art.estimators.classification")
    from art.attacks.evasion import ProjectedGradientDescent

    model = small_network().eval()
    target = classes(0, 1, 2, 3, 4, 0)
    wrapped = classifiers.PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 8, 8),
        nb_classes=5,
        clip_values=(0, 1),
        device_type="cpu",
    )
    theirs = ProjectedGradientDescent(
        wrapped, norm=math.inf if norm == "inf" else 2, eps=eps, eps_step=alpha, max_iter=10, targeted=not untargeted,
        num_random_init=0, batch_size=6, verbose=False,
    )  # fmt: skip
    expected = torch.from_numpy(theirs.generate(inner_images.numpy(), y=target.numpy()))
    attack = attacks.create(
        "pgd",
        norm=norm,
        pgd_eps=eps,
        pgd_alpha=alpha,
        iteration=10,
        stop_threshold=None,
        target_idx=0 if untargeted else -1,
    )
    torch.testing.assert_close(attack.perturb(model, inner_images, target)[0], expected, rtol=0, atol=1e-5)
