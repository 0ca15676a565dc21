"""BiT: the pre-activation ResNet-50 with group norm and weight-standardised convolutions, for small images."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

GROUPS = 32
EXPANSION = 4
UNITS = (3, 4, 6, 3)


class WeightStandardization(nn.Module):
    """Ŵ = (W − mean W) / √(var W + 1e-10), mean and population variance over each filter.

    Source: Weight Standardization (arXiv 1903.10520), section 3, with the constant of BiT (arXiv 1912.11370).
    """

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        # A layer norm over each flattened filter is this very formula in one kernel.
        return F.layer_norm(weight, weight.shape[1:], eps=1e-10)


class StandardizedConv2d(nn.Conv2d):
    """A convolution without bias whose weight is standardised whenever it is used."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        parametrize.register_parametrization(self, "weight", WeightStandardization())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A parametrised module's class is made at run time, where pickle cannot find it: another is made instead.
        return _blank, (), self.__dict__


def _blank() -> StandardizedConv2d:
    """A convolution for pickle to fill; on the meta device, so that no random number is drawn for it."""
    with torch.device("meta"):
        return StandardizedConv2d(1, 1, 1)


class PreActivationUnit(nn.Module):
    """A bottleneck whose norms and ReLUs come before its convolutions; a projection takes the pre-activated input.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the 3×3 convolution; the output has four times as many.
        stride: Stride of the 3×3 convolution and of the projection.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.gn1 = nn.GroupNorm(GROUPS, in_channels)
        self.conv1 = StandardizedConv2d(in_channels, channels, 1)
        self.gn2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = StandardizedConv2d(channels, channels, 3, stride, padding=1)
        self.gn3 = nn.GroupNorm(GROUPS, channels)
        self.conv3 = StandardizedConv2d(channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = StandardizedConv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.gn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.conv1(out)
        out = self.conv2(self.relu(self.gn2(out)))
        out = self.conv3(self.relu(self.gn3(out)))
        return out + shortcut


def bit_features(in_channels: int = 3, channels: int = 64) -> nn.Sequential:
    """Everything before the pooling, with a 3×3 stride-1 root convolution and no pooling after it.

    Source: Big Transfer (arXiv 1912.11370), R50x1; deviation: the root, which is 7×7 with stride 2 there.

    Args:
        in_channels: Channels of the images.
        channels: Channels of the root and of the first block's 3×3 convolutions, a multiple of 32.

    Returns:
        Layers ``conv``, ``block1`` to ``block4``, ``gn``, ``relu``; the output has 32 · ``channels`` channels.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=StandardizedConv2d(in_channels, channels, 3, padding=1))
    width = channels
    for block, count in enumerate(UNITS):
        units: OrderedDict[str, nn.Module] = OrderedDict()
        for unit in range(count):
            stride = 2 if unit == 0 and block > 0 else 1
            units[f"unit{unit + 1:02d}"] = PreActivationUnit(width, channels * 2**block, stride)
            width = EXPANSION * channels * 2**block
        layers[f"block{block + 1}"] = nn.Sequential(units)
    layers.update(gn=nn.GroupNorm(GROUPS, width), relu=nn.ReLU(inplace=True))
    return nn.Sequential(layers)
