"""Gradients of single layers, image by image, from what went into a layer and what came back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from autovul.vision.tools.moments import Place

# Floats of a block that the moments are computed of at once: it should stay in a core's cache.
BLOCK = 2**19
MIN_WIDTH = 16  # columns; a narrower product is slower than what the cache saves

KNOWN = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)

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
        outer = self._outer * scale.to(self._outer.dtype)[:, None, None]
        outputs, inputs = outer.shape[1], self._inner.shape[2]
        width = max(MIN_WIDTH, BLOCK // (len(scale) * outputs))
        for start in range(0, inputs, width):
            columns = slice(start, start + width)
            yield self._parameter, _columns_of(inputs, columns), outer @ self._inner[:, :, columns]


def _columns_of(inputs: int, columns: slice) -> Place:
    return lambda flat: flat.view(-1, inputs)[:, columns]


def widest(device: torch.device) -> torch.dtype:
    """The most exact floating-point type that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64


def supports(module: nn.Module) -> bool:
    """Whether `of_layer` knows the layer, and the layer treats every image by itself."""
    kind = next((known for known in KNOWN if isinstance(module, known)), None)
    if kind is None or type(module).forward is not kind.forward:
        return False
    if parametrize.is_parametrized(module):
        chains = cast(nn.ModuleDict, module.parametrizations)
        return kind is nn.Conv2d and [*chains] == ["weight"] and hasattr(chains["weight"], "original")
    return not isinstance(module, _BatchNorm) or module.running_mean is not None


def of_layer(module: nn.Module, taken: Tensor, returned: Tensor) -> list[SampleGradients]:
    """The gradients of a supported layer's parameters.

    Args:
        module: In eval mode.
        taken: (N, …), its input.
        returned: (N, …), the gradients with respect to its output.

    Returns:
        Parameters are named as by the module's ``named_parameters``.
    """
    if isinstance(module, nn.Conv2d):
        return _convolution(module, taken, returned)
    if isinstance(module, nn.Linear) and taken.ndim == 2:
        bias = {"bias": returned} if module.bias is not None else {}
        return [Product("weight", returned[:, :, None], taken[:, None]), *_plain(bias)]
    if isinstance(module, _BatchNorm):
        shape = (1, -1, *[1] * (taken.ndim - 2))
        mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
        return _affine(module, (taken - mean.view(shape)) * (variance + module.eps).rsqrt().view(shape), returned)
    if isinstance(module, nn.GroupNorm):
        return _affine(module, F.group_norm(taken, module.num_groups, eps=module.eps), returned)
    return _plain(_by_vjp(dict(module.named_parameters()), _call(module), returned, taken))


def _plain(gradients: Mapping[str, Tensor]) -> list[SampleGradients]:
    return [Plain(gradients)] if gradients else []


def _affine(module: nn.Module, normalised: Tensor, returned: Tensor) -> list[SampleGradients]:
    """Those of γ and β in γ · normalised + β."""
    sums = {"weight": (returned * normalised).flatten(2).sum(2), "bias": returned.flatten(2).sum(2)}
    return _plain({name: sums[name] for name, _ in module.named_parameters()})


def _convolution(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> list[SampleGradients]:
    bias = _plain({"bias": returned.sum((2, 3))} if conv.bias is not None else {})
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return _plain(_by_vjp(dict(conv.named_parameters()), _call(conv), returned, taken))
    positions, outputs = returned.shape[2:].numel(), conv.out_channels
    inputs = _weight_shape(conv)[1:].numel()
    if parametrize.is_parametrized(conv):
        return [Plain(_through_parametrization(conv, taken, returned)), *bias]
    if conv.groups == 1 and positions * (inputs + outputs) < inputs * outputs:
        return [Product("weight", returned.flatten(2), _patches_by_position(conv, taken)), *bias]
    return [Plain({"weight": _weight_gradients(conv, taken, returned)}), *bias]


def _weight_gradients(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> Tensor:
    """(N, entries of the weight), by what is fastest for the layer's kind and the device."""
    count, groups, shape = len(taken), conv.groups, _weight_shape(conv)
    geometry = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    if groups == conv.in_channels == conv.out_channels and groups > 1:
        # Channels do not mix, so the images may stand side by side as further channels of a single one.
        wide = (count * shape[0], *shape[1:])
        images, back = taken.reshape(1, -1, *taken.shape[2:]), returned.reshape(1, -1, *returned.shape[2:])
        return conv2d_weight(images, wide, back, groups=count * groups, **geometry).view(count, -1)
    if groups == 1 and conv.kernel_size != (1, 1) and taken.device.type == "cpu":
        # The CPU's own kernel beats a product of unfolded patches, and makes no copy of them.
        pairs = zip(taken.split(1), returned.split(1), strict=True)
        return torch.stack([conv2d_weight(x, shape, d, **geometry).flatten() for x, d in pairs])
    patches = _patches(conv, taken).reshape(count * groups, shape[1:].numel(), -1)
    back = returned.reshape(count * groups, shape[0] // groups, -1)
    return (back @ patches.transpose(1, 2)).view(count, -1)


def _weight_shape(conv: nn.Conv2d) -> torch.Size:
    """Not asked of the weight itself, which a parametrisation would compute for it."""
    return torch.Size((conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size))


def _patches(conv: nn.Conv2d, taken: Tensor) -> Tensor:
    """(N, entries of a filter over all groups, positions): what the filters are multiplied with."""
    if conv.kernel_size == (1, 1) and conv.padding == (0, 0):
        return taken[:, :, :: conv.stride[0], :: conv.stride[1]].flatten(2)
    return F.unfold(taken, conv.kernel_size, conv.dilation, cast(Any, conv.padding), conv.stride)


def _patches_by_position(conv: nn.Conv2d, taken: Tensor) -> Tensor:
    """(N, positions, entries of a filter), of a convolution without groups; the entries in an order of their own."""
    if conv.kernel_size == (1, 1) or conv.dilation != (1, 1):
        return _patches(conv, taken).transpose(1, 2)
    down, across = cast("tuple[int, int]", conv.padding)
    padded = F.pad(taken, (across, across, down, down)).permute(0, 2, 3, 1).contiguous()
    windows = padded.unfold(1, conv.kernel_size[0], conv.stride[0]).unfold(2, conv.kernel_size[1], conv.stride[1])
    # Whole pixels are copied, channel after channel, which is several times faster than one channel's windows.
    return windows.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2)


def _through_parametrization(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> dict[str, Tensor]:
    """Gradients of the tensor that the weight is computed from."""
    chain = cast(nn.ModuleList, cast(nn.ModuleDict, conv.parametrizations)["weight"])
    original = cast(Tensor, chain.original).detach()

    def weight(value: Tensor) -> Tensor:
        for step in chain:
            value = step(value)
        return value

    shape, back = _weight_shape(conv), torch.func.vjp(weight, original)[1]
    gradients = original.new_empty(len(taken), original.numel())
    # Image by image, what one step leaves in the cache the next one finds there.
    for row, one in enumerate(zip(taken.split(1), returned.split(1), strict=True)):
        gradients[row] = back(_weight_gradients(conv, *one).view(shape))[0].flatten()
    return {"parametrizations.weight.original": gradients}


def _call(module: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    return lambda parameters, image: torch.func.functional_call(module, parameters, (image[None],))[0]


def _by_vjp(
    parameters: dict[str, Tensor],
    call: Callable[[dict[str, Tensor], Tensor], Tensor],
    returned: Tensor,
    taken: Tensor,
) -> dict[str, Tensor]:
    """By automatic differentiation of the layer alone."""
    values = {name: parameter.detach() for name, parameter in parameters.items()}

    def one(image: Tensor, back: Tensor) -> dict[str, Tensor]:
        return torch.func.vjp(lambda values: call(values, image), values)[1](back)[0]

    return {name: gradient.flatten(1) for name, gradient in torch.func.vmap(one)(taken, returned).items()}
