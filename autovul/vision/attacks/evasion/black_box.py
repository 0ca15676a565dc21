"""Descent directions estimated from queries alone, for attacks that may not look inside the model.

Each estimator takes a loss, images (N, C, H, W), the queries it may make for each image, the size of a probing step in
pixel units, and a generator on the images' device; it gives a tensor of the images' shape. The loss takes perturbed
images (K, C, H, W) and, for each, the index of the image that it stems from, and gives (K,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autovul.base.memory import in_parts
from autovul.vision.attacks.victim import CPU_BATCH

Loss = Callable[[Tensor, Tensor], Tensor]

QUERY_BATCH = 512  # at most this many images go through the model at once; on a CPU `CPU_BATCH`


def nes(loss: Loss, images: Tensor, *, query_num: int, sigma: float, generator: torch.Generator) -> Tensor:
    r"""Natural evolution strategies with antithetic pairs.

    .. math:: \hat g = \frac{1}{2 m \sigma} \sum_{i=1}^{m} \bigl(L(x + \sigma u_i) - L(x - \sigma u_i)\bigr)\, u_i,
              \qquad u_i \sim N(0, I), \; m = \text{query\_num} / 2

    Source: Ilyas et al., Black-box Adversarial Attacks with Limited Queries and Information (2018), section 2.1.
    """
    pairs = query_num // 2
    estimate = torch.zeros_like(images)
    for noise in _gaussian(images, pairs, 2, generator):
        above, below = _ask(loss, torch.cat([images + sigma * noise, images - sigma * noise])).chunk(2)
        estimate += torch.einsum("kn,knchw->nchw", above - below, noise)
    return estimate / (2 * pairs * sigma)


def sgd(loss: Loss, images: Tensor, *, query_num: int, sigma: float, generator: torch.Generator) -> Tensor:
    r"""Forward differences along random directions; one of the queries is for the image itself.

    .. math:: \hat g = \frac{1}{m \sigma} \sum_{i=1}^{m} \bigl(L(x + \sigma u_i) - L(x)\bigr)\, u_i,
              \qquad u_i \sim N(0, I), \; m = \text{query\_num} - 1

    Source: Nesterov and Spokoiny, Random Gradient-Free Minimization of Convex Functions (2017), equation 22; as the
    gradient of stochastic descent in Ghadimi and Lan (2013).
    """
    count = query_num - 1
    here = _ask(loss, images[None])
    estimate = torch.zeros_like(images)
    for noise in _gaussian(images, count, 1, generator):
        estimate += torch.einsum("kn,knchw->nchw", _ask(loss, images + sigma * noise) - here, noise)
    return estimate / (count * sigma)


def zoo(loss: Loss, images: Tensor, *, query_num: int, sigma: float, generator: torch.Generator) -> Tensor:
    r"""Symmetric differences along single pixels, drawn anew for each image; other pixels get 0.

    .. math:: \hat g_i = \frac{L(x + \sigma e_i) - L(x - \sigma e_i)}{2 \sigma}
              \quad\text{for } \text{query\_num} / 2 \text{ coordinates } i

    Source: Chen et al., ZOO: Zeroth Order Optimization Based Black-box Attacks (2017), equation 6. Deviation: the step
    is PGD's, not coordinate-wise Adam, and coordinates are drawn uniformly.
    """
    count, size = len(images), images[0].numel()
    chosen = min(query_num // 2, size)
    order = torch.rand((count, size), generator=generator, device=images.device).argsort(1)[:, :chosen]
    estimate = torch.zeros_like(images).flatten(1)
    flat = images.flatten(1)
    for coordinates in order.split(max(1, QUERY_BATCH // (2 * count)), dim=1):
        place = coordinates.T[:, :, None]
        steps = torch.zeros((len(place), count, size), device=images.device, dtype=images.dtype)
        steps.scatter_(2, place, sigma)
        points = torch.cat([flat + steps, flat - steps]).view(-1, *images.shape)
        above, below = _ask(loss, points).chunk(2)
        estimate.scatter_(1, coordinates, ((above - below) / (2 * sigma)).T)
    return estimate.view_as(images)


def hess(loss: Loss, images: Tensor, *, query_num: int, sigma: float, generator: torch.Generator) -> Tensor:
    r"""Forward differences preconditioned by an estimated Hessian: an estimate of :math:`H^{-1} \nabla L`.

    .. math:: H = \frac1b \sum_{i=1}^{b} w_i\, v_i v_i^\top + \lambda I, \qquad
              w_i = \frac{|L(x + \sigma v_i) + L(x - \sigma v_i) - 2 L(x)|}{2 \sigma^2}
    .. math:: \hat d = \frac{1}{m \sigma} \sum_{i=1}^{m} \bigl(L(x + \sigma H^{-1/2} u_i) - L(x)\bigr)\, H^{-1/2} u_i

    with Gaussian u and v, b a quarter of the queries (two each), and m what remains. H has rank b beside λI, so that
    its inverse root needs the eigenvalues of a b × b matrix only.

    Source: Ye et al., Hessian-Aware Zeroth-Order Optimization for Black-Box Adversarial Attack (2018), ZOHA-Gauss.
    Deviations: H is estimated at every step, λ is the mean of w, and H is scaled so that probing steps keep the size of
    the other estimators' (its scale changes neither the sign nor the normalised direction).
    """
    pairs = query_num // 4
    count = query_num - 1 - 2 * pairs
    here = _ask(loss, images[None])
    probes = torch.cat([*_gaussian(images, pairs, 2, generator)])
    above, below = _ask(loss, torch.cat([images + sigma * probes, images - sigma * probes])).chunk(2)
    weights = (above + below - 2 * here).abs() / (2 * sigma**2)
    root = _InverseRoot(probes.flatten(2).permute(1, 2, 0), weights.T)
    estimate = torch.zeros_like(images)
    for noise in _gaussian(images, count, 1, generator):
        step = root.apply(noise.flatten(2).permute(1, 2, 0)).permute(2, 0, 1).view_as(noise)
        estimate += torch.einsum("kn,knchw->nchw", _ask(loss, images + sigma * step) - here, step)
    return estimate / (count * sigma)


class _InverseRoot:
    """H^{-1/2} of H = V diag(w/b) Vᵀ/λ + I for each image: the identity outside the span of the probes.

    Args:
        probes: (N, d, b), the columns v.
        weights: (N, b), at least 0.
    """

    def __init__(self, probes: Tensor, weights: Tensor) -> None:
        mean = weights.mean(1, keepdim=True)
        # Where the loss has no curvature at all there is nothing to precondition.
        relative = torch.where(mean > 0, weights / mean.clamp_min(torch.finfo(weights.dtype).tiny), 0.0)
        factor = probes * (relative / probes.shape[2]).sqrt()[:, None]
        values, vectors = torch.linalg.eigh(factor.mT @ factor)
        values = values.clamp_min(0)
        # Columns of the basis are orthonormal where the eigenvalue is not negligible.
        kept = values > 1e-6 * values.amax(1, keepdim=True).clamp_min(1e-30)
        scale = torch.where(kept, values.clamp_min(1e-30).rsqrt(), 0.0)
        self.basis = factor @ (vectors * scale[:, None])
        self.gain = torch.where(kept, (1 + values).rsqrt() - 1, 0.0)

    def apply(self, columns: Tensor) -> Tensor:
        """H^{-1/2} times (N, d, k)."""
        return columns + self.basis @ (self.gain[:, :, None] * (self.basis.mT @ columns))


def _gaussian(images: Tensor, count: int, queries: int, generator: torch.Generator) -> Iterator[Tensor]:
    """``count`` directions (k, N, C, H, W) in chunks of k that, at so many queries each, fill a query batch."""
    chunk = max(1, QUERY_BATCH // (queries * len(images)))
    for start in range(0, count, chunk):
        shape = (min(chunk, count - start), *images.shape)
        yield torch.randn(shape, generator=generator, device=images.device, dtype=images.dtype)


def _ask(loss: Loss, points: Tensor) -> Tensor:
    """The losses (k, N) at points (k, N, C, H, W)."""
    count, device = points.shape[1], points.device
    index = torch.arange(count, device=device).repeat(len(points))
    size = min(QUERY_BATCH, CPU_BATCH) if device.type == "cpu" else QUERY_BATCH
    return torch.cat([*in_parts(loss, (points.flatten(0, 1), index), size, device)]).view(-1, count).to(points.dtype)


ESTIMATORS: dict[str, Callable[..., Tensor]] = {"nes": nes, "sgd": sgd, "hess": hess, "zoo": zoo}
LEAST_QUERIES = {"nes": 2, "sgd": 2, "hess": 4, "zoo": 2}
