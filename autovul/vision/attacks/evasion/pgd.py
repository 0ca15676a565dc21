"""Projected gradient descent, white box and black box, in the L-infinity and L2 norms."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from autovul.base.options import OptionError, option
from autovul.vision.attacks.base import registry, require_differentiable, require_logits
from autovul.vision.attacks.evasion.attack import EvasionAttack
from autovul.vision.attacks.evasion.black_box import ESTIMATORS, LEAST_QUERIES
from autovul.vision.attacks.evasion.image_attack import WITHOUT_GRADIENT
from autovul.vision.attacks.evasion.norms import Norm, lengths, unit, within
from autovul.vision.attacks.evasion.perturbation import Passes, Perturbation

LARGEST_STEP = 50  # /255, of which a fraction such as 0.2 may be a whole number
_ESTIMATED = "grad_method=nes|sgd|hess|zoo"


@registry.register("pgd")
class PGD(EvasionAttack):
    r"""Projected gradient descent.

    .. math:: x_{t+1} = \Pi\bigl(x_t - \alpha \, d(\nabla_x L(x_t))\bigr), \qquad
              d(g) = \operatorname{sign}(g) \;(L_\infty) \quad\text{or}\quad g / \lVert g \rVert_2 \;(L_2)

    L is the cross entropy with the target class or, untargeted, the negated cross entropy with the original class;
    Π projects onto the ball of radius ε around the clean image and then onto [0, 1]. There is no random start.

    With ``eot_samples`` the gradient is the mean of so many passes, an estimate of that of the expected loss where the
    model draws at random (expectation over transformation). The stop condition is still that of a single pass.

    An image stops once its stop condition holds (see `EvasionAttack`). This is read from the logits of the gradient
    pass: a step costs one forward and one backward pass, and only the images that go on take part in the next.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks (2018), section 2.1;
    Athalye et al., Synthesizing Robust Adversarial Examples (2018), for ``eot_samples``. Deviations from the artifact:
    one forward pass a step in place of three; restarts work.
    """

    name: ClassVar[str] = "pgd"

    pgd_alpha: float = option(
        2 / 255,
        "Step size; on the command line a value of at least 1 is read as /255 (L-inf only).",
        ge=0,
        unit="pixels",
    )
    pgd_eps: float = option(
        8 / 255,
        "Radius of the ball; on the command line as for --pgd_alpha: 255 is the whole range, and 1 is 1/255.",
        ge=0,
        unit="pixels",
    )
    norm: Norm = option("inf", "Norm of the ball and of the step.")
    num_restart: int = option(
        0,
        "Further tries, each from a random point of the ball, for the images that failed; the best try is kept.",
        ge=0,
    )
    grad_method: Literal["white", "nes", "sgd", "hess", "zoo"] = option(
        "white", "Where gradients come from: the model itself, or an estimate from queries."
    )
    eot_samples: int = option(
        1,
        "Passes that a step's gradient is the mean of, for networks that draw at random.",
        ge=1,
        needs="grad_method=white",
    )
    query_num: int = option(100, "Queries a step and image for an estimated gradient.", ge=2, needs=_ESTIMATED)
    sigma: float = option(
        1e-3, "Standard deviation of the noise of an estimated gradient.", gt=0, unit="pixels", needs=_ESTIMATED
    )

    @property
    def most_steps(self) -> int:
        return self.iteration * (1 + self.num_restart)

    @property
    def follows_gradients(self) -> bool:
        return self.grad_method == "white"

    def without_gradient(self) -> str:
        if self.grad_method == "white":
            return f"{WITHOUT_GRADIENT}; --grad_method nes estimates one from queries"
        return f"the loss does not change within sigma ({self.sigma:g}): a larger one may see more; {WITHOUT_GRADIENT}"

    def notes(self) -> list[str]:
        if self.grad_method == "white":
            return []
        return [
            f"gradients are estimated ({self.grad_method}, {self.query_num} queries, sigma {self.sigma:g}): success "
            "rates are lower bounds, and a low one says nothing of how robust the model is"
        ]

    def require_meant(self) -> None:
        if self.norm == "inf" and self.pgd_eps > 1:
            raise OptionError(
                f"pgd_eps must be at most 1, the whole range of a pixel (255 on the command line; from Python 8/255, "
                f"not 8); got {self.pgd_eps:g}"
            )

    def in_short(self) -> str:
        if self.norm == "2":
            return f"L2, ε {self.pgd_eps:g}, step {self.pgd_alpha:g}"
        return f"L∞, ε {255 * self.pgd_eps:.4g}/255, step {255 * self.pgd_alpha:.4g}/255"

    @model_validator(mode="after")
    def _enough_queries(self) -> PGD:
        if self.grad_method in ("nes", "zoo") and self.query_num % 2:
            method = self.grad_method
            raise ValueError(f"query_num must be even for {method}, which queries in pairs, got {self.query_num}")
        least = LEAST_QUERIES.get(self.grad_method, 0)
        if self.query_num < least:
            raise ValueError(f"query_num must be at least {least} for {self.grad_method}, got {self.query_num}")
        return self

    def in_pixel_units(self) -> PGD:
        """The attack with ε and step as the command line means them: for L-infinity, 8 is 8/255.

        Raises:
            OptionError: ε was read so and a step below 1 was not, which is more than the ball is wide: 0.05 beside an
                ε of 1 that was meant for the whole range. A whole number of 255ths, as data sets' defaults are, is no
                slip unless it is as large as 51/255.
        """
        if self.norm != "inf":
            return self
        step = 255 * self.pgd_alpha
        plain = abs(step - round(step)) > 1e-6 or step > LARGEST_STEP
        if self.pgd_eps >= 1 > self.pgd_alpha and step > 2 * self.pgd_eps and plain:
            raise OptionError(
                f"pgd_eps {self.pgd_eps:g} is read as {self.pgd_eps:g}/255 and pgd_alpha {self.pgd_alpha:g} as it "
                f"stands, {step:.4g}/255, more than the ball is wide: values of at least 1 are read as /255; give both "
                "so, such as 8 and 2, and 255 for the whole range"
            )
        scaled = {n: getattr(self, n) / 255 for n in ("pgd_alpha", "pgd_eps") if getattr(self, n) >= 1}
        return self.model_copy(update=scaled)

    def _perturb(self, model: nn.Module, images: Tensor, target: Tensor, generator: torch.Generator) -> Perturbation:
        best = self._descend(model, images, images, target, generator)
        for _ in range(self.num_restart):
            again = best.iterations.eq(-1).nonzero().squeeze(1)
            if not len(again):
                break
            clean = images[again]
            start = self._project(clean + self._random_offset(clean, generator), clean)
            best.keep_better(again, self._descend(model, clean, start, target[again], generator))
        return best

    def _descend(
        self, model: nn.Module, clean: Tensor, start: Tensor, target: Tensor, generator: torch.Generator
    ) -> Perturbation:
        """One try: at most ``iteration`` steps from ``start``."""
        result = Perturbation.begin(start, self.iteration)
        active = torch.arange(len(clean), device=clean.device)
        images = start
        going: Tensor | slice
        for step in range(self.iteration):
            logits, images = self._look(model, images, result.passes)
            if step == 0:
                self._check_target(target, logits)
            if logits is not None and self.stop_threshold is not None:
                met = self._met(logits.detach(), target[active])
                result.stop(active[met], images.detach()[met], logits.detach()[met], step)
                if bool(met.all()):
                    return result
                going = ~met
            else:
                going = slice(None)  # nothing is copied, and on a GPU nothing waits for the host
            active = active[going]
            gradient = self._gradient(model, images, logits, going, target[active], generator, result.passes)
            result.note_gradient(active, gradient, step)
            direction = gradient.sign() if self.norm == "inf" else unit(gradient)
            images = self._project(images.detach()[going] - self.pgd_alpha * direction, clean[active])
        result.images[active] = images
        # With a stop condition the last step is judged too, and tries are compared by their final loss.
        if self.stop_threshold is not None or self.num_restart:
            self._judge(model, result, active, target[active])
        return result

    def _look(self, model: nn.Module, images: Tensor, passes: Passes) -> tuple[Tensor | None, Tensor]:
        """The logits that this step's gradient and stop check share, and the images that they were computed from."""
        if self.grad_method == "white":
            images = images.detach().requires_grad_()
            passes.forward += len(images)
            return require_logits(model(images)), images
        if self.stop_threshold is None:
            return None, images
        return self._query(model, images, passes), images

    @staticmethod
    def _check_target(target: Tensor, logits: Tensor | None) -> None:
        if logits is not None and int(target.max()) >= logits.shape[1]:
            raise ValueError(f"target must be from 0 to {logits.shape[1] - 1}, got {int(target.max())}")

    def _query(self, model: nn.Module, images: Tensor, passes: Passes) -> Tensor:
        with torch.no_grad():
            logits = require_logits(model(images))
        passes.forward += len(images)  # now, and not before: where memory ends, the same is asked again in parts
        if self.grad_method != "white":
            passes.queries += len(images)  # a black-box attacker sees whether it has succeeded only by asking
        return logits

    def _gradient(
        self,
        model: nn.Module,
        images: Tensor,
        logits: Tensor | None,
        going: Tensor | slice,
        target: Tensor,
        generator: torch.Generator,
        passes: Passes,
    ) -> Tensor:
        if logits is not None and self.grad_method == "white":
            require_differentiable(logits, self.without_gradient())
            passes.backward += len(target)
            gradient = torch.autograd.grad(self._loss(logits[going], target).sum(), images)[0][going]
            return (
                gradient
                if self.eot_samples == 1
                else self._mean_gradient(model, gradient, images, going, target, passes)
            )

        def loss_of(queries: Tensor, index: Tensor) -> Tensor:
            return self._loss(self._query(model, queries, passes), target[index])

        estimate = ESTIMATORS[self.grad_method]
        return estimate(loss_of, images[going], query_num=self.query_num, sigma=self.sigma, generator=generator)

    def _mean_gradient(
        self, model: nn.Module, first: Tensor, images: Tensor, going: Tensor | slice, target: Tensor, passes: Passes
    ) -> Tensor:
        """The mean of the first gradient and of further passes over the images that go on."""
        total, images = first, images.detach()[going].requires_grad_()
        for _ in range(self.eot_samples - 1):
            loss = self._loss(require_logits(model(images)), target).sum()
            total = total + torch.autograd.grad(loss, images)[0]
            passes.forward += len(images)
            passes.backward += len(images)
        return total / self.eot_samples

    def _judge(self, model: nn.Module, result: Perturbation, active: Tensor, target: Tensor) -> None:
        logits = self._query(model, result.images[active], result.passes)
        self._check_target(target, logits)
        result.broken |= ~logits.isfinite().all()
        result.record(active, logits)
        result.loss[active] = self._loss(logits, target).to(result.loss.dtype)
        if self.stop_threshold is not None:
            result.iterations[active[self._met(logits, target)]] = self.iteration

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """What the attack descends, image by image."""
        loss = functional.cross_entropy(logits, target, reduction="none")
        return -loss if self.untargeted else loss

    def _project(self, images: Tensor, clean: Tensor) -> Tensor:
        return (clean + within(images - clean, self.pgd_eps, self.norm)).clamp(0.0, 1.0)

    def _random_offset(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A point drawn uniformly from the ball."""
        options: dict[str, Any] = {"generator": generator, "device": images.device, "dtype": images.dtype}
        if self.norm == "inf":
            return (2 * torch.rand(images.shape, **options) - 1) * self.pgd_eps
        direction = torch.randn(images.shape, **options)
        radius = torch.rand((len(images), 1, 1, 1), **options) ** (1 / images[0].numel())
        return direction / lengths(direction, "2")[:, None, None, None] * radius * self.pgd_eps
