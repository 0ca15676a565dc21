"""How much the gradient of the loss differs from image to image."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autovul.base.errors import UserError
from autovul.base.memory import in_parts
from autovul.base.metrics import NonFiniteOutput
from autovul.vision.attacks.base import ask, require_classes, require_images, untouched
from autovul.vision.models.base import ComposedModel
from autovul.vision.tools import per_sample
from autovul.vision.tools.moments import Moments

CHUNK = 32


@dataclass(frozen=True)
class LayerVariance:
    """A layer's part of the total.

    Args:
        name: The layer, as ``named_modules`` calls it.
        parameters: How many it has.
        total: The sum over them of the standard deviation of their gradient.
    """

    name: str
    parameters: int
    total: float


@dataclass(frozen=True)
class GradientVariance:
    """The figure with its parts.

    Args:
        total: Sum over all parameters of the standard deviation of the clipped gradient.
        layers: Its parts, in the order of the network.
        samples: How many images' gradients.
        zero_gradients: How many of them were zero in every entry.
        clipped: How many of them were longer than the limit.
        mean_norm: Mean L2 norm before clipping.
        method: How they were computed.
    """

    total: float
    layers: tuple[LayerVariance, ...]
    samples: int
    zero_gradients: int
    clipped: int
    mean_norm: float
    method: str

    @property
    def log10(self) -> float:
        """The decimal logarithm of the total; −∞ where it is 0."""
        return math.log10(self.total) if self.total else -math.inf


def gradient_variance(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    clip_norm: float | None = 5.0,
    *,
    chunk: int = CHUNK,
    method: per_sample.Method = "auto",
    advance: Callable[[int], None] = lambda images: None,
) -> GradientVariance:
    r"""The spread of per-image gradients.

    .. math:: \sum_j \sqrt{\operatorname{E}_i[g_{ij}^2] - \operatorname{E}_i[g_{ij}]^2}, \qquad
              g_i = \min\Bigl(1, \frac{c}{\lVert \nabla_\theta \ell_i \rVert_2}\Bigr) \nabla_\theta \ell_i

    over the parameters j and the images i, where ℓ is the cross entropy of one image in eval mode. The model is left
    exactly as it was.

    All methods agree up to rounding. Memory: two numbers a parameter and, for ``chunk`` images, the activations;
    with ``vmap`` and ``loop`` also a gradient for each of them.

    Args:
        model: Takes pixels in [0, 1] and gives logits.
        images: (N, C, H, W) with N of at least 2, floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        clip_norm: c, above 0; None: no clipping.
        chunk: Images whose gradients are computed together, at least 1; halved where memory does not suffice.
        method: ``layers``, ``vmap``, ``loop``, or ``auto``: the fastest that is exact, see `per_sample.choose`.
        advance: Called after each chunk with its number of images.

    Raises:
        ValueError: An argument is not as above, or the method does not fit the network.
        NonFiniteOutput: Some gradient is not finite.
        UserError: All gradients are zero.

    Source: On the Security Risks of AutoML (arXiv 2110.06018), on gradient variance, figure 12. Deviation from the
    artifact: images are taken together, which changes nothing but the speed.
    """
    _check(images, labels, clip_norm, chunk, method)
    moments = {name: Moments(p) for name, p in model.named_parameters()}
    if not moments:
        raise ValueError("the model has no parameters, so that there is no gradient")
    norms: list[Tensor] = []
    known = isinstance(model, ComposedModel)
    if known and images.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)  # the layers follow, and are faster so
    with untouched(model):
        with torch.no_grad():
            classes = ask(model, images[:2]).shape[1]
        if int(labels.max()) >= classes:
            raise ValueError(f"labels must be from 0 to {classes - 1}, got {int(labels.max())}")
        chosen = per_sample.choose(model, images, labels, trusted=known) if method == "auto" else method
        compute = functools.partial(per_sample.METHODS[chosen], model)
        try:
            for gradients in in_parts(compute, (images, labels), chunk, images.device):
                norms.append(_take_in(gradients, moments, clip_norm))
                del gradients  # before the next chunk's are there
                advance(len(norms[-1]))
        except per_sample.Unsupported as error:
            raise ValueError(f"method {chosen!r} does not fit the network: {error}") from None
    lengths = torch.cat(norms)
    if not bool(lengths.any()):
        raise UserError(f"all {len(lengths)} gradients are zero: nothing flows back through the network")
    layers = _by_layer(moments)
    return GradientVariance(
        total=math.fsum(layer.total for layer in layers),
        layers=layers,
        samples=len(images),
        zero_gradients=int((lengths == 0).sum()),
        clipped=int((lengths > clip_norm).sum()) if clip_norm is not None else 0,
        mean_norm=lengths.mean().item(),
        method=chosen,
    )


def _check(images: Tensor, labels: Tensor, clip_norm: float | None, chunk: int, method: str) -> None:
    require_images(images)
    if len(images) < 2:
        raise ValueError(f"images must be at least 2 to differ, got {len(images)}")
    require_classes(labels, len(images))
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be above 0 or None, got {clip_norm}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if method != "auto" and method not in per_sample.METHODS:
        raise ValueError(f"method must be auto, {', '.join(per_sample.METHODS)}; got {method!r}")


def _take_in(gradients: per_sample.BatchGradients, moments: dict[str, Moments], clip_norm: float | None) -> Tensor:
    """Clip a chunk's gradients, add them to the moments and return their norms before (N,), on the CPU."""
    norms = gradients.norms()
    finite = norms.isfinite()
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise NonFiniteOutput(f"the gradients of {bad} of {len(norms)} images are not finite: the network has diverged")
    limit = torch.inf if clip_norm is None else clip_norm
    scale = (limit / norms.clamp_min(torch.finfo(norms.dtype).tiny)).clamp_max(1.0)
    touched = set()
    for name, place, block in gradients.blocks(scale):
        moments[name].add(place, block)
        touched.add(name)
    for name in touched:
        moments[name].advance(len(norms))
    return norms.cpu()


def _by_layer(moments: dict[str, Moments]) -> tuple[LayerVariance, ...]:
    layers: dict[str, list[Moments]] = {}
    for name, found in moments.items():
        layer = name.removesuffix(".original").rpartition(".")[0].removesuffix(".parametrizations")
        layers.setdefault(layer, []).append(found)
    return tuple(
        LayerVariance(name, sum(m.size for m in found), math.fsum(m.deviation_sum() for m in found))
        for name, found in layers.items()
    )
