"""DLA-34: a network of trees whose roots aggregate the levels below them, for small images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

CHANNELS = (16, 32, 64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut that the surrounding tree provides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)


class Root(nn.Module):
    """Aggregation node: 1×1 convolution, batch norm and ReLU over the concatenated inputs, without a residual."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.relu(self.bn(self.conv(torch.cat(list(inputs), dim=1))))


class Tree(nn.Module):
    """A tree of depth 1: two blocks and their root.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first block; its shortcut is max-pooled as much.
        extra_channels: Channels that the root aggregates beside its two blocks.
        level_root: Whether the root also aggregates the (max-pooled) input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, extra_channels: int = 0, level_root: bool = False
    ) -> None:
        super().__init__()
        self.level_root = level_root
        root_channels = 2 * out_channels + extra_channels + (in_channels if level_root else 0)
        self.tree1 = BasicBlock(in_channels, out_channels, stride)
        self.tree2 = BasicBlock(out_channels, out_channels, 1)
        self.root = Root(root_channels, out_channels)
        self.downsample = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.project: nn.Module = nn.Identity()
        if in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.project = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor, extra: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        bottom = self.downsample(x)
        first = self.tree1(x, self.project(bottom))
        second = self.tree2(first, first)
        own = [bottom] if self.level_root else []
        return self.root([second, first, *extra, *own])


class DeepTree(nn.Module):
    """A tree of depth 2: two trees of depth 1, the second of which aggregates the level's input and the first.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first tree; the level's input is max-pooled as much.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.tree1 = Tree(in_channels, out_channels, stride)
        self.tree2 = Tree(out_channels, out_channels, extra_channels=in_channels + out_channels)
        self.downsample = nn.MaxPool2d(stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.tree1(x)
        return self.tree2(first, extra=[self.downsample(x), first])


def dla34_features(in_channels: int = 3, channels: Sequence[int] = CHANNELS) -> nn.Sequential:
    """Everything before the pooling: ``stem`` and ``layer1`` to ``layer6``.

    Source: Deep Layer Aggregation (arXiv 1707.06484), DLA-34; deviation: the first three levels keep the full
    resolution and have 3×3 convolutions.

    Args:
        in_channels: Channels of the images.
        channels: Channels of the stem, of ``layer2`` to ``layer6``; ``layer1`` has the stem's.
    """
    stem, second, third, fourth, fifth, sixth = channels
    return nn.Sequential(
        OrderedDict(
            stem=_conv_level(in_channels, stem),
            layer1=_conv_level(stem, stem),
            layer2=_conv_level(stem, second),
            layer3=Tree(second, third),
            layer4=DeepTree(third, fourth, stride=2),
            layer5=DeepTree(fourth, fifth, stride=2),
            layer6=Tree(fifth, sixth, stride=2, level_root=True),
        )
    )


def _conv_level(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(OrderedDict(conv1=conv, bn1=nn.BatchNorm2d(out_channels), relu=nn.ReLU(inplace=True)))
