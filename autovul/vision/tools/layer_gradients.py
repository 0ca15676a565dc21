"""Gradients of single layers, image by image, from what went into a layer and what came back to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from autovul.vision.tools.sample_gradients import Plain, Product, Projected, SampleGradients
from autovul.vision.utils.model_archs.bit import WeightStandardization

KNOWN = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)

TOGETHER = 4  # images whose windows are laid out at once on a CPU: they should stay in its caches


def supports(module: nn.Module) -> bool:
    """Whether `of_layer` knows the layer, and the layer treats every image by itself."""
    kind = next((known for known in KNOWN if isinstance(module, known)), None)
    if kind is None or type(module).forward is not kind.forward:
        return False
    if parametrize.is_parametrized(module):
        chains = cast(nn.ModuleDict, module.parametrizations)
        steps = [type(step) for chain in chains.values() for step in cast(nn.ModuleList, chain)]
        return kind is nn.Conv2d and [*chains] == ["weight"] and steps == [WeightStandardization]
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
        mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
        centred = taken - mean.view(1, -1, *[1] * (taken.ndim - 2))
        return _affine(module, centred, returned, (variance + module.eps).rsqrt())
    if isinstance(module, nn.GroupNorm):
        return _affine(module, F.group_norm(taken, module.num_groups, eps=module.eps), returned)
    return _plain(_by_vjp(dict(module.named_parameters()), _call(module), returned, taken))


def _plain(gradients: Mapping[str, Tensor]) -> list[SampleGradients]:
    return [Plain(gradients)] if gradients else []


def _affine(
    module: nn.Module, normalised: Tensor, returned: Tensor, factor: Tensor | float = 1.0
) -> list[SampleGradients]:
    """Those of γ and β in γ · factor · normalised + β; ``normalised`` is overwritten."""
    weight = normalised.mul_(returned).reshape(*returned.shape[:2], -1).sum(2) * factor
    sums = {"weight": weight, "bias": returned.reshape(*returned.shape[:2], -1).sum(2)}
    return _plain({name: sums[name] for name, _ in module.named_parameters()})


def _convolution(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> list[SampleGradients]:
    bias = _plain({"bias": returned.sum((2, 3))} if conv.bias is not None else {})
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return _plain(_by_vjp(dict(conv.named_parameters()), _call(conv), returned, taken))
    if parametrize.is_parametrized(conv):
        return [_standardised(conv, taken, returned), *bias]
    if _is_product(conv, returned):
        return [Product("weight", returned.flatten(2), _patches(conv, taken)), *bias]
    return [Plain({"weight": _weight_gradients(conv, taken, returned)}), *bias]


def _is_product(conv: nn.Conv2d, returned: Tensor) -> bool:
    """Whether the layer is so wide, and its map so small, that `Product` costs less than keeping the gradients."""
    positions, outputs, inputs = returned.shape[2:].numel(), conv.out_channels, _weight_shape(conv)[1:].numel()
    return conv.groups == 1 and positions * (inputs + outputs) < inputs * outputs


def _weight_gradients(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> Tensor:
    """(N, entries of the weight), by what is fastest for the layer's kind and the device."""
    count, groups, shape = len(taken), conv.groups, _weight_shape(conv)
    if groups == 1:
        return _by_filter_rows(conv, taken, returned)
    if taken.device.type == "cpu" or groups == conv.in_channels == conv.out_channels:
        # Groups do not mix, so the images may stand side by side as further groups of a single one.
        wide = (count * shape[0], *shape[1:])
        images, back = taken.reshape(1, -1, *taken.shape[2:]), returned.reshape(1, -1, *returned.shape[2:])
        geometry = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
        return conv2d_weight(images, wide, back, groups=count * groups, **geometry).view(count, -1)
    patches = F.unfold(taken, conv.kernel_size, conv.dilation, cast(Any, conv.padding), conv.stride)
    patches = patches.reshape(count * groups, shape[1:].numel(), -1)
    back = returned.reshape(count * groups, shape[0] // groups, -1)
    return (back @ patches.transpose(1, 2)).view(count, -1)


def _by_filter_rows(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> Tensor:
    """(N, entries of the weight) of a convolution without groups: filter, row, column, channel.

    One product for each row of the filters. Unlike patches, which repeat a pixel for each entry of a filter, the
    windows repeat it for each column only; and a CPU multiplies several images faster than its convolution's own
    kernel takes them one by one.
    """
    rows, height, back = conv.kernel_size[0], returned.shape[2], returned.flatten(2)
    found = taken.new_empty(len(taken), conv.out_channels, rows, conv.kernel_size[1] * conv.in_channels)
    together = TOGETHER if taken.device.type == "cpu" else len(taken)
    for images, gradients, part in zip(*(t.split(together) for t in (taken, back, found)), strict=True):
        windows = _windows(conv, _padded(conv, images), 1).transpose(3, 4).flatten(3)
        for row in range(rows):
            first, step = row * conv.dilation[0], conv.stride[0]
            seen = windows[:, first : first + step * (height - 1) + 1 : step].flatten(1, 2)
            part[:, :, row] = gradients @ seen
    return found.flatten(1)


def _weight_shape(conv: nn.Conv2d) -> torch.Size:
    """Not asked of the weight itself, which a parametrisation would compute for it."""
    return torch.Size((conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size))


def _padded(conv: nn.Conv2d, taken: Tensor) -> Tensor:
    """(N, rows, columns, channels). Whole pixels are copied several times faster than one channel after the other."""
    down, across = cast("tuple[int, int]", conv.padding)
    return F.pad(taken, (across, across, down, down)).permute(0, 2, 3, 1).contiguous()


def _windows(conv: nn.Conv2d, pixels: Tensor, axis: int) -> Tensor:
    """``pixels`` with a last dimension more: what a position of the output sees along a spatial axis, 0 or 1."""
    step = conv.dilation[axis]
    return pixels.unfold(1 + axis, step * (conv.kernel_size[axis] - 1) + 1, conv.stride[axis])[..., ::step]


def _patches(conv: nn.Conv2d, taken: Tensor) -> Tensor:
    """(N, positions of the output, entries of a filter: row, column, channel), of a convolution without groups."""
    windows = _windows(conv, _windows(conv, _padded(conv, taken), 0), 1)  # (N, height, width, channels, row, column)
    return windows.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2)


def _standardised(conv: nn.Conv2d, taken: Tensor, returned: Tensor) -> SampleGradients:
    r"""Those of the weight V before weight standardisation, row by row of its filters.

    With the standardised weight Ŵ = (V − mean V) / σ, and G the gradients with respect to it:

    .. math:: \frac{1}{\sigma} \Bigl( G - \operatorname{mean} G - \hat W \operatorname{mean}(G \circ \hat W) \Bigr)
    """
    name, shape = "parametrizations.weight.original", _weight_shape(conv)
    original = cast(Tensor, cast(nn.ModuleDict, conv.parametrizations)["weight"].original).detach()
    weight, original = conv.weight.detach().flatten(1), original.flatten(1)
    inverse = weight.norm(dim=1) / (original - original.mean(1, keepdim=True)).norm(dim=1)  # 1 / σ
    if conv.groups == 1:
        weight = weight.view(*shape).permute(0, 2, 3, 1).flatten(1)  # in the order of the gradients
    if _is_product(conv, returned):
        patches = _patches(conv, taken)
        outer = returned.flatten(2) * inverse[:, None]
        return Projected(name, outer, patches - patches.mean(2, keepdim=True), weight)
    gradients = _weight_gradients(conv, taken, returned).view(len(taken), *weight.shape)
    gradients -= gradients.mean(2, keepdim=True)
    gradients -= (gradients * weight).mean(2, keepdim=True) * weight
    return Plain({name: gradients.mul_(inverse[:, None]).flatten(1)})


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
