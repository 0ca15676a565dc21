"""Size and shape of a network: parameters, multiply-adds, depth and skip connections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from autovul.base.errors import UserError
from autovul.vision.models.own import OwnModel, source_sha256
from autovul.vision.models.probe import grey_images, probing
from autovul.vision.utils.model_archs.darts.genotypes import Genotype
from autovul.vision.utils.model_archs.darts.network import Cell, CellNetwork

# Autograd's names of what convolutions and linear layers do, and of what joins two paths.
WEIGHTED = ("ConvolutionBackward0", "AddmmBackward0", "MmBackward0", "LinearBackward0")
JOINS = ("AddBackward0", "CatBackward0")


@dataclass(frozen=True)
class ModelFacts:
    """What an architecture amounts to.

    Attributes:
        parameters: Number of trainable and frozen parameters.
        multiply_adds: Multiply-add operations of all convolutions and matrix products for one image.
        depth: Convolutions and linear layers on the longest path from image to logits.
        skips: Skip connections. In a cell network: ``skip_connect`` operations over all its cells, strided ones
            included. Elsewhere: identity shortcuts, which are additions and concatenations that join a tensor with
            another that was computed from it through at least one convolution or linear layer.
    """

    parameters: int
    multiply_adds: int
    depth: int
    skips: int


def facts(model: nn.Module, data_shape: Sequence[int]) -> ModelFacts:
    """Count what one image causes in a network in eval mode. The network is left as it was.

    Args:
        model: Any module that maps images (N, C, H, W) to logits by operations that autograd follows.
        data_shape: (channels, height, width) of an image.

    Raises:
        UserError: The logits do not depend on the image differentiably, so that there is no path to follow.
    """
    from torch.utils.flop_counter import FlopCounterMode

    image = grey_images(model, data_shape, 1).requires_grad_()
    counter = FlopCounterMode(display=False)
    # Attention by matrix products: the counter does not know the fused kernels of every device.
    with probing(model), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        logits = model(image)
    if logits.grad_fn is None:
        raise UserError(f"{type(model).__name__}: its logits are not differentiable in the image, so it has no depth")
    cells = [module for module in model.modules() if isinstance(module, Cell)]
    depth, shortcuts = _paths(logits.grad_fn)
    return ModelFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
        depth=depth,
        skips=sum(cell.skips for cell in cells) if cells else shortcuts,
    )


def made_of(model: nn.Module) -> dict[str, Any]:
    """What a network of its name is made of, for its record: ``genotype`` of cells, ``source_sha256`` of own code.

    Empty for a network that the package defines and that has no cells.
    """
    if isinstance(model, OwnModel):
        return {"source_sha256": source_sha256(model.spec)}
    genotype = next((module.genotype for module in model.modules() if isinstance(module, CellNetwork)), None)
    return {} if genotype is None else made_of_cells(genotype)


def made_of_cells(genotype: Genotype) -> dict[str, Any]:
    """`made_of` a network of these cells."""
    return {"genotype": json.loads(json.dumps(genotype._asdict()))}


def _paths(root: Any) -> tuple[int, int]:
    """Depth and number of identity shortcuts, from autograd's graph.

    Sets of nodes are the bits of whole numbers: ``before`` holds a node and all that it was computed from,
    ``behind_layer`` those of them that a weighted layer separates from the node's result.
    """
    depth: dict[Any, int] = {}
    bit: dict[Any, int] = {}
    before: dict[Any, int] = {}
    behind_layer: dict[Any, int] = {}
    shortcuts = 0
    for node in _inputs_first(root):
        inputs = _inputs(node)
        weighted = node.name() in WEIGHTED
        bit[node] = 1 << len(bit)
        depth[node] = max((depth[source] for source in inputs), default=0) + weighted
        before[node] = bit[node] | _union(before[source] for source in inputs)
        behind_layer[node] = _union((before if weighted else behind_layer)[source] for source in inputs)
        if node.name() in JOINS:
            beyond = _union(behind_layer[source] for source in inputs)
            shortcuts += any(bit[source] & beyond for source in inputs)
    return depth[root], shortcuts


def _inputs_first(root: Any) -> Iterator[Any]:
    """All nodes of the graph, each after its inputs."""
    seen, stack = set(), [(root, False)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(source, False) for source in _inputs(node)]


def _inputs(node: Any) -> list[Any]:
    return [source for source, _ in node.next_functions if source is not None]


def _union(sets: Iterator[int]) -> int:
    union = 0
    for members in sets:
        union |= members
    return union
