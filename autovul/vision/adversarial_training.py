"""Adversarial training: the trainer's step with perturbed images, in three published forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from autovul.base.metrics import require_finite
from autovul.base.options import Options, option
from autovul.base.training.evaluation import Batches, Step, cross_entropy_step, evaluation_mode
from autovul.base.training.precision import without_tf32
from autovul.vision.attacks.evasion.pgd import PGD

TRADES_START = 1e-3  # standard deviation of the noise that TRADES starts from, where the divergence has no gradient


class AdversarialTrainingOptions(Options):
    """Training against an adversary, and measuring what it brought. ε and step of at least 1 are read as /255."""

    adv_train: Literal["pgd", "free", "trades"] | None = option(
        None, "Adversarial training: pgd (Madry et al.), free (Shafahi et al.), trades (Zhang et al.); none: plain."
    )
    adv_train_random_init: bool = option(
        False, "Start each perturbation from a random point of the ball (pgd).", needs="adv_train"
    )
    adv_train_iter: int = option(
        7, "Steps of the adversary; for free: how often a batch is replayed.", ge=1, needs="adv_train"
    )
    adv_train_alpha: float = option(
        2 / 255, "Step size of the adversary (free: in the measurement alone).", gt=0, unit="pixels", needs="adv_train"
    )
    adv_train_eps: float = option(8 / 255, "Radius of the adversary, L-inf.", gt=0, unit="pixels", needs="adv_train")
    adv_train_eval_iter: int | None = option(
        None, "Steps of PGD in the measurement; as in training by default.", ge=1, needs="adv_train"
    )
    adv_train_eval_alpha: float | None = option(
        None, "Its step size; as in training by default.", gt=0, unit="pixels", needs="adv_train"
    )
    adv_train_eval_eps: float | None = option(
        None, "Its radius; as in training by default.", gt=0, unit="pixels", needs="adv_train"
    )
    adv_train_trades_beta: float = option(6.0, "Weight of the divergence in the TRADES loss.", ge=0, needs="adv_train")

    @model_validator(mode="after")
    def _something_to_start_randomly(self) -> AdversarialTrainingOptions:
        if self.adv_train_random_init and self.adv_train in ("free", "trades"):
            raise ValueError(f"adv_train_random_init goes with pgd: {self.adv_train} has a start of its own")
        return self

    def in_pixel_units(self) -> AdversarialTrainingOptions:
        """The options with ε and step sizes as the command line means them: 8 is 8/255."""
        names = ("adv_train_alpha", "adv_train_eps", "adv_train_eval_alpha", "adv_train_eval_eps")
        return self.model_copy(update={n: v / 255 for n in names if (v := getattr(self, n)) is not None and v >= 1})


def adversarial(
    options: AdversarialTrainingOptions, batches: Batches, auxiliary_weight: float = 0.4, label_smoothing: float = 0.0
) -> tuple[Step, Batches]:
    """The trainer's step and batches for a form of adversarial training; without one, the plain ones."""

    def plain(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        return cross_entropy_step(model, x, y, auxiliary_weight, label_smoothing)

    match options.adv_train:
        case "pgd":
            return _PgdStep(options, plain), batches
        case "trades":
            return _TradesStep(options, plain), batches
        case "free":
            return _FreeStep(options, plain), Replayed(batches, options.adv_train_iter)
    return plain, batches


def robust_accuracy(options: AdversarialTrainingOptions, model: nn.Module, batches: Batches) -> float:
    """The share of images, in percent, that untargeted PGD with the measurement's settings leaves right.

    Raises:
        NonFiniteOutput: The model gives NaN.
    """
    attack = PGD(
        target_idx=0,
        stop_threshold=None,
        iteration=options.adv_train_eval_iter or options.adv_train_iter,
        pgd_alpha=options.adv_train_eval_alpha or options.adv_train_alpha,
        pgd_eps=options.adv_train_eval_eps or options.adv_train_eps,
    )
    right = 0
    for images, labels in batches.epoch(0):
        attacked, _ = attack.perturb(model, images, labels)
        with torch.no_grad(), evaluation_mode(model), without_tf32():
            right += int((require_finite(model(attacked)).argmax(1) == labels).sum())
    return 100 * right / batches.num_samples


class _PgdStep:
    r"""Minimises :math:`\max_{\|\delta\|_\infty \le \epsilon} L(x + \delta, y)`, the maximum being sought by PGD.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks (2018), equation 2.1.
    """

    def __init__(self, options: AdversarialTrainingOptions, plain: Step) -> None:
        self.options, self.plain = options, plain
        self.passes = (options.adv_train_iter + 1, options.adv_train_iter + 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        options, start = self.options, x
        if options.adv_train_random_init:
            start = x + (2 * torch.rand_like(x) - 1) * options.adv_train_eps
        return self.plain(model, _ascend(model, x, start, lambda z: functional.cross_entropy(z, y), options), y)


class _TradesStep:
    r"""Minimises :math:`L(x, y) + \beta \max_\delta \mathrm{KL}(f(x) \,\|\, f(x + \delta))`.

    Source: Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy (2019), equation 5.
    """

    def __init__(self, options: AdversarialTrainingOptions, plain: Step) -> None:
        self.options, self.plain = options, plain
        self.passes = (options.adv_train_iter + 3, options.adv_train_iter + 2)

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), evaluation_mode(model):
            clean = model(x).log_softmax(1)
        start = x + TRADES_START * torch.randn_like(x)
        attacked = _ascend(model, x, start, lambda z: _divergence(clean, z.log_softmax(1)), self.options)
        loss, logits = self.plain(model, x, y)
        output = model(attacked)
        robust = (output if isinstance(output, Tensor) else output[0]).log_softmax(1)
        return loss + self.options.adv_train_trades_beta * _divergence(logits.log_softmax(1), robust), logits


class _FreeStep:
    """Each batch is replayed, and every backward pass serves both the weights and the perturbation.

    The perturbation is kept from batch to batch: δ ← clip(δ + ε · sign(∇δ L), −ε, ε).

    Source: Shafahi et al., Adversarial Training for Free! (2019), algorithm 1. The number of epochs is not divided by
    the number of replays: give a smaller ``--epoch``.
    """

    whole_batch = True  # the perturbation of row i is kept for row i of the next batch

    def __init__(self, options: AdversarialTrainingOptions, plain: Step) -> None:
        self.eps, self.plain = options.adv_train_eps, plain
        self.delta: Tensor | None = None

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        delta = torch.zeros_like(x[:0]) if self.delta is None else self.delta.to(x.device)
        self.delta = torch.cat([delta, torch.zeros_like(x[len(delta) :])])
        attacked = (x + self.delta[: len(x)]).clamp(0, 1).requires_grad_()
        attacked.register_hook(self._update)
        return self.plain(model, attacked, y)

    def _update(self, gradient: Tensor) -> None:
        assert self.delta is not None
        count = len(gradient)
        moved = (self.delta[:count] + self.eps * gradient.sign()).clamp(-self.eps, self.eps)
        self.delta = torch.cat([moved, self.delta[count:]])

    def state_dict(self) -> dict[str, Any]:
        """The perturbation, for a resume."""
        return {"delta": self.delta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the perturbation over."""
        self.delta = state["delta"]


class Replayed:
    """Batches of which each comes several times in a row."""

    def __init__(self, batches: Batches, times: int) -> None:
        self.batches, self.times = batches, times
        self.num_samples = batches.num_samples * times

    def __len__(self) -> int:
        return len(self.batches) * self.times

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Any]]:
        """The batches of an epoch from step ``start`` on."""
        skipped = start % self.times
        for batch in self.batches.epoch(epoch, start // self.times):
            for _ in range(self.times - skipped):
                yield batch
            skipped = 0


def _ascend(
    model: nn.Module,
    clean: Tensor,
    start: Tensor,
    loss: Callable[[Tensor], Tensor],
    options: AdversarialTrainingOptions,
) -> Tensor:
    """PGD up the loss of the logits, in eval mode: batch statistics are learned from the training pass alone.

    In fp16 the gradient of a confident network's loss would vanish, and with it the adversary: it works in fp32 then.
    """
    low, high = (clean - options.adv_train_eps).clamp_min(0), (clean + options.adv_train_eps).clamp_max(1)
    attacked = start.clamp(low, high)
    device = clean.device.type
    mixed = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) != torch.float16
    with evaluation_mode(model), torch.autocast(device, torch.get_autocast_dtype(device), enabled=mixed):
        for _ in range(options.adv_train_iter):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(model(attacked)), attacked)
            attacked = (attacked.detach() + options.adv_train_alpha * gradient.sign()).clamp(low, high)
    return attacked


def _divergence(p_log: Tensor, q_log: Tensor) -> Tensor:
    """KL(p ‖ q), batch mean, from log-probabilities."""
    return functional.kl_div(q_log, p_log, reduction="batchmean", log_target=True)
