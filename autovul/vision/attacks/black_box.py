"""Gradients estimated from queries alone, for attacks that may not look inside the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# At most this many images go through the model at once.
QUERY_BATCH = 512


def nes(
    loss: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    *,
    query_num: int,
    sigma: float,
    generator: torch.Generator,
) -> Tensor:
    r"""Natural evolution strategies with antithetic pairs.

    .. math:: \hat g = \frac{1}{2 m \sigma} \sum_{i=1}^{m} \bigl(L(x + \sigma u_i) - L(x - \sigma u_i)\bigr)\, u_i,
              \qquad u_i \sim N(0, I), \; m = \text{query\_num} / 2

    Args:
        loss: Takes perturbed images (K, C, H, W) and, for each, the index of the image that it stems from; gives the
            losses (K,).
        images: (N, C, H, W).
        query_num: Queries an image, an even number.
        sigma: Standard deviation of the noise, in pixel units.
        generator: Source of the noise, on the device of ``images``.

    Returns:
        The estimate, of the shape of ``images``.

    Source: Ilyas et al., Black-box Adversarial Attacks with Limited Queries and Information (2018), section 2.1.
    """
    pairs = query_num // 2
    count = len(images)
    index = torch.arange(count, device=images.device)
    chunk = max(1, QUERY_BATCH // (2 * count))
    estimate = torch.zeros_like(images)
    for start in range(0, pairs, chunk):
        size = min(chunk, pairs - start)
        shape = (size, *images.shape)
        noise = torch.randn(shape, generator=generator, device=images.device, dtype=images.dtype)
        queries = torch.cat([images + sigma * noise, images - sigma * noise]).flatten(0, 1)
        losses = loss(queries, index.repeat(2 * size)).view(2, size, count)
        estimate += torch.einsum("kn,knchw->nchw", losses[0] - losses[1], noise)
    return estimate / (2 * pairs * sigma)


ESTIMATORS: dict[str, Callable[..., Tensor]] = {"nes": nes}
