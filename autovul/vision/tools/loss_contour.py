"""The loss on a plane through a network's weights, or through its images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autovul.base.errors import UserError, nearest
from autovul.base.memory import in_parts
from autovul.base.metrics import NonFiniteOutput
from autovul.vision.attacks.base import ask, require_classes, require_images, require_logits, untouched
from autovul.vision.models.quick import laid_out

Space = Literal["parameter", "input"]
SPANS: dict[str, float] = {"parameter": 0.5, "input": 0.2}
POINTS = 21


@dataclass(frozen=True)
class LossContour:
    """The loss on a grid.

    Args:
        loss: (alphas, betas), float64, in nats, on the CPU.
        alphas, betas: The grid, ascending.
        center: The loss at (0, 0), whether or not the grid has this point.
        space: ``parameter`` or ``input``.
        parameter: The name of the weights that were moved; empty in input space.
        samples: Number of images that the loss is a mean over.
    """

    loss: Tensor
    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    center: float
    space: str
    parameter: str
    samples: int

    @property
    def mean_change(self) -> float:
        """The mean over the grid of the loss minus that at the centre."""
        return self.loss.mean().item() - self.center


def axis(span: float, points: int) -> tuple[float, ...]:
    """``points`` evenly spaced numbers from −span to span; an odd number of points has an exact 0 in the middle."""
    return tuple(span * (2 * index - (points - 1)) / max(1, points - 1) for index in range(points))


def orthogonal_signs(count: int, seed: int, name: str = "the tensor") -> tuple[Tensor, Tensor]:
    """Two vectors of ±1 with d₁ · d₂ = 0 exactly.

    d₁ is half +1 and half −1, in random order; so is the product d₁ ∘ d₂, and its sum is d₁ · d₂.

    Args:
        count: Number of entries.
        seed: Of the order.
        name: What the vectors belong to, for the message.

    Raises:
        UserError: ``count`` is odd: an odd number of ±1 cannot sum to 0.
    """
    if count % 2:
        raise UserError(
            f"{name} has {count} entries, an odd number: ±1 directions in it cannot be orthogonal; "
            "--weights names others to move"
        )
    generator = torch.Generator().manual_seed(seed)
    first, product = (2.0 * (torch.randperm(count, generator=generator) % 2) - 1 for _ in range(2))
    return first, first * product


def first_convolution(model: nn.Module) -> str:
    """The name of the weights of a network's first convolution.

    Raises:
        UserError: It has no convolution over images, or the first one's weight is computed from others.
    """
    title = getattr(model, "name", type(model).__name__)
    for place, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            names = (f"{place}.weight".removeprefix("."), f"{place}.parametrizations.weight.original".removeprefix("."))
            found = next((name for name, _ in model.named_parameters() if name in names), None)
            if found is None:
                raise UserError(f"the weight of {title}'s first convolution is computed from others: name some to move")
            return found
    # Modules of another kind, such as scripted ones, are known by the shape of their weights alone.
    shaped = (name for name, p in model.named_parameters() if p.ndim == 4 and name.endswith("weight"))
    if (found := next(shaped, None)) is None:
        raise UserError(f"{title} has no convolution whose weights could be moved; --weights names others to move")
    return found


def loss_contour(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    space: Space = "parameter",
    *,
    alphas: Sequence[float] | None = None,
    betas: Sequence[float] | None = None,
    parameter: str | None = None,
    seed: int = 1228,
    batch_size: int = 100,
    advance: Callable[[int], None] = lambda points: None,
) -> LossContour:
    r"""The mean cross entropy on a plane spanned by two random directions.

    .. math:: \ell(\theta + \alpha d_1 + \beta d_2) \quad\text{or}\quad \ell(x + \alpha d_1 + \beta d_2), \qquad
              d_1, d_2 \in \{-1, 1\}^n, \; d_1 \cdot d_2 = 0

    θ is the weight of the first convolution, x every image (moved alike, and not clipped to [0, 1]). The model is in
    eval mode. Its parameters are never written to; afterwards it is exactly as before. The cost is one forward pass of
    all images for each point of the grid, and one for the centre where the grid has none.

    Args:
        model: Takes pixels in [0, 1] and gives logits.
        images: (N, C, H, W) with N of at least 1, floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        space: ``parameter`` or ``input``.
        alphas, betas: The grid; 21 points each from −0.5 to 0.5 (input space: −0.2 to 0.2) unless given.
        parameter: The name of other weights to move, in parameter space.
        seed: Of the directions. In input space the same ones serve every model.
        batch_size: Images a forward pass, at least 1; it changes speed and memory only.
        advance: Called now and then with the number of points done since.

    Raises:
        ValueError: An argument is not as above.
        UserError: The number of entries is odd, so that no such directions exist; or there is no convolution.
        NonFiniteOutput: The loss is not finite somewhere on the grid.

    Source: On the Security Risks of AutoML (arXiv 2110.06018), appendix; after Li et al., Visualizing the Loss
    Landscape of Neural Nets (arXiv 1712.09913).
    """
    spread = _check(images, labels, space, batch_size)
    if parameter is not None and space == "input":
        raise ValueError(f"parameter goes with parameter space, got {parameter!r} in input space")
    rows = tuple(axis(spread, POINTS) if alphas is None else alphas)
    columns = tuple(axis(spread, POINTS) if betas is None else betas)
    if not rows or not columns:
        raise ValueError("alphas and betas must have at least one number each")
    points = [(alpha, beta) for alpha in rows for beta in columns]
    moved = ""
    with untouched(laid_out(model)) as model, torch.no_grad():
        ask(model, images[:2])
        if space == "parameter":
            moved = first_convolution(model) if parameter is None else parameter
            evaluate = _in_parameter_space(model, images, labels, moved, seed, batch_size)
        else:
            evaluate = _in_input_space(model, images, labels, seed, batch_size)
        together = 1 if space == "parameter" else max(1, batch_size // len(images))
        losses = []
        for start in range(0, len(points), together):
            losses.append(evaluate(points[start : start + together]))
            advance(len(losses[-1]))
        loss = torch.cat(losses)
        origin = (0.0, 0.0)
        center = (loss[points.index(origin)] if origin in points else evaluate([origin])).item()
    if not bool(loss.isfinite().all()):
        alpha, beta = points[int((~loss.isfinite()).nonzero()[0])]
        raise NonFiniteOutput(f"the loss at α = {alpha:.4g}, β = {beta:.4g} is not finite")
    if not math.isfinite(center):
        raise NonFiniteOutput("the loss at the centre is not finite")
    return LossContour(loss.view(len(rows), len(columns)), rows, columns, center, space, moved, len(images))


Points = Sequence[tuple[float, float]]
Evaluate = Callable[[Points], Tensor]


def _in_parameter_space(
    model: nn.Module, images: Tensor, labels: Tensor, name: str, seed: int, batch_size: int
) -> Evaluate:
    """The losses at points of the plane; here one point at a time."""
    parameters = dict(model.named_parameters())
    if name not in parameters:
        raise UserError(f"the model has no parameter {name!r}{nearest(name, parameters)}")
    weight = parameters[name].detach()
    first, second = (d.to(weight).view_as(weight) for d in orthogonal_signs(weight.numel(), seed, name))

    def evaluate(points: Points) -> Tensor:
        ((alpha, beta),) = points
        moved = {name: weight + alpha * first + beta * second}

        def loss(pixels: Tensor, classes: Tensor) -> Tensor:
            return _losses(require_logits(torch.func.functional_call(model, moved, (pixels,))), classes).sum()

        parts = in_parts(loss, (images, labels), batch_size, images.device)
        return sum(parts, torch.zeros(1, dtype=torch.float64)) / len(images)

    return evaluate


def _in_input_space(model: nn.Module, images: Tensor, labels: Tensor, seed: int, batch_size: int) -> Evaluate:
    """The losses at points of the plane, all in the same forward passes."""
    shape = images.shape[1:]
    first, second = (d.to(images).view(shape) for d in orthogonal_signs(shape.numel(), seed, "an image"))

    def evaluate(points: Points) -> Tensor:
        moves = torch.stack([alpha * first + beta * second for alpha, beta in points])

        def loss(pixels: Tensor, classes: Tensor) -> Tensor:
            logits = require_logits(model((pixels + moves[:, None]).flatten(0, 1)))
            return _losses(logits, classes.repeat(len(points))).view(len(points), -1).sum(1)

        parts = in_parts(loss, (images, labels), batch_size, images.device)
        return sum(parts, torch.zeros(len(points), dtype=torch.float64)) / len(images)

    return evaluate


def _losses(logits: Tensor, classes: Tensor) -> Tensor:
    if int(classes.max()) >= logits.shape[1]:
        raise ValueError(f"labels must be from 0 to {logits.shape[1] - 1}, got {int(classes.max())}")
    return F.cross_entropy(logits.cpu().double(), classes.cpu(), reduction="none")


def _check(images: Tensor, labels: Tensor, space: str, batch_size: int) -> float:
    require_images(images)
    if not len(images):
        raise ValueError("images must be at least 1, got 0")
    require_classes(labels, len(images))
    if space not in SPANS:
        raise ValueError(f"space must be {' or '.join(SPANS)}, got {space!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return SPANS[space]
