"""Gradients of a layer for the single images of a batch: kept, or formed block by block when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Protocol

import torch
from torch import Tensor

from autovul.vision.tools.moments import Place

# Floats of a block that the moments are computed of at once: it should stay in a processor's cache.
BLOCK = 2**20
MIN_HEIGHT = 16  # rows; a lower product is slower than what the cache saves

Block = tuple[str, Place, Tensor]


class SampleGradients(Protocol):
    """The gradients of a layer's parameters for each image of a batch."""

    def squared_norms(self) -> Tensor:
        """(N,): the sum of squares over the layer's parameters, in the most exact type that the device has."""
        ...

    def blocks(self, scale: Tensor) -> Iterator[Block]:
        """Parameter, which of its entries, and their gradients (N, …) times ``scale`` (N,), until all have come.

        A layer may order a parameter's entries in its own way, always the same.
        """
        ...


class Plain:
    """Gradients that are kept.

    Args:
        gradients: (N, entries) for each parameter.
    """

    def __init__(self, gradients: Mapping[str, Tensor]) -> None:
        self._gradients = gradients

    def squared_norms(self) -> Tensor:
        norms = [torch.linalg.vector_norm(gradient, dim=1) for gradient in self._gradients.values()]
        return torch.stack(norms).to(widest(norms[0].device)).square().sum(0)

    def blocks(self, scale: Tensor) -> Iterator[Block]:
        width = max(1, BLOCK // len(scale))
        for name, gradient in self._gradients.items():
            for start in range(0, gradient.shape[1], width):
                columns = slice(start, start + width)
                yield name, itemgetter(columns), gradient[:, columns] * scale.to(gradient.dtype)[:, None]


class Product:
    r"""Gradients G = D · A that are only formed block by block: those of a wide layer that sees few positions.

    .. math:: \lVert D A \rVert^2 = \sum_{t,u} (D^\top D)_{tu} (A A^\top)_{tu}

    so that even their norm needs no G, which is what would cost memory.

    Source: Goodfellow, Efficient Per-Example Gradient Computations (arXiv 1510.01799), for one position; Li et al.,
    Large Language Models Can Be Strong Differentially Private Learners (arXiv 2110.05679), section 4, for several.

    Args:
        parameter: Its name.
        outer: D, (N, outputs, positions): the gradients with respect to the layer's output.
        inner: A, (N, positions, inputs): what the layer's weights multiply at each position.
    """

    def __init__(self, parameter: str, outer: Tensor, inner: Tensor) -> None:
        self._parameter, self._outer, self._inner = parameter, outer, inner

    def squared_norms(self) -> Tensor:
        outer = self._outer.transpose(1, 2) @ self._outer
        inner = self._inner @ self._inner.transpose(1, 2)
        return (outer.to(widest(outer.device)) * inner).sum((1, 2)).clamp_min(0)

    def blocks(self, scale: Tensor) -> Iterator[Block]:
        # Gᵀ is formed, so that the entries of a block follow one another in the moments.
        outer = (self._outer * scale.to(self._outer.dtype)[:, None, None]).transpose(1, 2)
        inner, outputs = self._inner.transpose(1, 2), outer.shape[2]
        height = max(MIN_HEIGHT, BLOCK // (len(scale) * outputs))
        for start in range(0, inner.shape[1], height):
            rows = slice(start, start + height)
            yield self._parameter, _rows_of(outputs, rows), inner[:, rows] @ outer


class Projected(Product):
    r"""Gradients D · A from which each row's part along a fixed row of W is taken, W's rows having mean square 1.

    .. math:: B = D A, \qquad B - \operatorname{mean}(B \circ W)\, W

    Args:
        parameter, outer, inner: As for `Product`.
        weight: W, (outputs, inputs).
    """

    def __init__(self, parameter: str, outer: Tensor, inner: Tensor, weight: Tensor) -> None:
        super().__init__(parameter, outer, inner)
        self._weight = weight
        along = (inner @ weight.T).transpose(1, 2)
        self._share = (outer * along).sum(2) / weight.shape[1]

    def squared_norms(self) -> Tensor:
        size = self._weight.square().sum(1)
        # ‖B − s W‖² = ‖B‖² − 2 s ⟨B, W⟩ + s² ‖W‖², and ⟨B, W⟩ is s times the number of inputs.
        share = self._share.to(widest(size.device)).square()
        return (super().squared_norms() - (share * (2 * self._weight.shape[1] - size)).sum(1)).clamp_min(0)

    def blocks(self, scale: Tensor) -> Iterator[Block]:
        share, weight = (self._share * scale.to(self._share.dtype)[:, None])[:, None], self._weight.T.flatten()
        for name, place, block in super().blocks(scale):
            yield name, place, block.addcmul_(share, place(weight), value=-1)


def _rows_of(outputs: int, rows: slice) -> Place:
    return lambda flat: flat.view(-1, outputs)[rows]


def widest(device: torch.device) -> torch.dtype:
    """The most exact floating-point type that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64
