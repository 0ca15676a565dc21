"""The operations that a cell's edges choose from, and the two ways of pre-processing a cell's input."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


def make_operation(name: str, channels: int, stride: int, dropout: float) -> nn.Module:
    """The operation ``name`` with as many output as input channels, followed by dropout.

    Dropout follows every operation but the identity, pooling included; it is element-wise, not the drop-path of the
    papers.

    Args:
        name: One of `genotype.OPERATIONS`.
        channels: Number of channels, even where ``stride`` is 2.
        stride: 1 or 2.
        dropout: Probability in [0, 1).
    """
    if name == "skip_connect" and stride == 1:
        return nn.Identity()
    layers = BUILDERS[name](channels, stride)
    layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def preprocess(in_channels: int, out_channels: int, *, reduce: bool) -> nn.Sequential:
    """ReLU, 1×1 convolution and batch norm before a cell; with ``reduce``, a factorised reduction to half the size."""
    if reduce:
        return nn.Sequential(_reduction(in_channels, out_channels))
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv, bn=nn.BatchNorm2d(out_channels)))


class FactorizedReduce(nn.Module):
    """Halves the resolution by two 1×1 stride-2 convolutions, the second of which sees the odd rows and columns.

    An odd side is padded with zeros at its end for the second, so that both halves have the same size.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.conv2 = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, stride=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        # Unlike a slice's gradient, that of a negative padding keeps the memory layout: channels last, narrow cells
        # train up to 11 % faster.
        return torch.cat((self.conv1(x), self.conv2(F.pad(x, (-1, width % 2, -1, height % 2)))), dim=1)


def _reduction(in_channels: int, out_channels: int) -> OrderedDict[str, nn.Module]:
    reduce = FactorizedReduce(in_channels, out_channels)
    return OrderedDict(relu=nn.ReLU(), reduce=reduce, bn=nn.BatchNorm2d(out_channels))


def _depthwise(channels: int, kernel: int, stride: int, dilation: int) -> OrderedDict[str, nn.Module]:
    """ReLU, depthwise and pointwise convolution, batch norm; the size changes by the stride alone."""
    padding = dilation * (kernel // 2)
    spatial = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return OrderedDict(relu=nn.ReLU(), conv1=spatial, conv2=pointwise, bn=nn.BatchNorm2d(channels))


def _separable(kernel: int) -> Callable[[int, int], OrderedDict[str, nn.Module]]:
    def build(channels: int, stride: int) -> OrderedDict[str, nn.Module]:
        # The published weights call both halves of a separable convolution "dil_conv", undilated as they are.
        first, second = _depthwise(channels, kernel, stride, 1), _depthwise(channels, kernel, 1, 1)
        return OrderedDict(dil_conv1=nn.Sequential(first), dil_conv2=nn.Sequential(second))

    return build


def _dilated(kernel: int) -> Callable[[int, int], OrderedDict[str, nn.Module]]:
    return lambda channels, stride: _depthwise(channels, kernel, stride, 2)


def _conv_7x1_1x7(channels: int, stride: int) -> OrderedDict[str, nn.Module]:
    across = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
    down = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
    return OrderedDict(relu=nn.ReLU(), conv1=across, conv2=down, bn=nn.BatchNorm2d(channels))


BUILDERS: dict[str, Callable[[int, int], OrderedDict[str, nn.Module]]] = {
    "skip_connect": lambda channels, stride: _reduction(channels, channels),
    "max_pool_3x3": lambda channels, stride: OrderedDict(pool=nn.MaxPool2d(3, stride, 1)),
    "avg_pool_3x3": lambda channels, stride: OrderedDict(pool=nn.AvgPool2d(3, stride, 1, count_include_pad=False)),
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "conv_7x1_1x7": _conv_7x1_1x7,
}
