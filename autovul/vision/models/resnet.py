"""Residual networks: torchvision's, with a 3×3 stride-1 first convolution and no max-pooling."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from torch import nn

from autovul.vision.models.registry import DataShape, Parts, register
from autovul.vision.models.width import scaled

STEM_CHANNELS = 64
STAGES = 4


@register("resnet18_comp", group="manual", family="ResNets")
def resnet18(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """ResNet-18 (arXiv 1512.03385)."""
    features, channels = _features("BasicBlock", (2, 2, 2, 2), data_shape[0], width)
    return Parts(features, _fc(channels, num_classes))


@register("resnext50_32x4d_comp", group="manual", family="ResNets")
def resnext50_32x4d(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """ResNeXt-50 32×4d (arXiv 1611.05431) without its last stage; the classifier has no bias."""
    # A multiple of 16 leaves at least one channel in each of the 32 groups.
    features, channels = _features(
        "Bottleneck", (3, 4, 6), data_shape[0], width, multiple=16, groups=32, width_per_group=4
    )
    return Parts(features, _fc(channels, num_classes, bias=False))


@register("wide_resnet50_2_comp", group="manual", family="ResNets")
def wide_resnet50_2(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """Wide-ResNet-50-2 (arXiv 1605.07146): ResNet-50 with twice the channels in its 3×3 convolutions."""
    features, channels = _features("Bottleneck", (3, 4, 6, 3), data_shape[0], width, width_per_group=128)
    return Parts(features, _fc(channels, num_classes))


def _features(
    block: Literal["BasicBlock", "Bottleneck"],
    counts: tuple[int, ...],
    in_channels: int,
    width: float,
    multiple: int = 8,
    **kwargs: Any,
) -> tuple[nn.Sequential, int]:
    """torchvision's stages, built and initialised by torchvision, behind a new stem; and their output channels.

    Args:
        block: torchvision's name of the block.
        counts: Blocks in each stage; torchvision's four are cut to as many.
        in_channels: Channels of the images.
        width: Multiplier of all channel counts.
        multiple: What channel counts are rounded to a multiple of.
        kwargs: Further arguments of torchvision's ``ResNet``.
    """
    from torchvision.models import resnet

    class ScaledResNet(resnet.ResNet):
        def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
            if planes == STEM_CHANNELS:
                self.inplanes = scaled(STEM_CHANNELS, width, multiple)
            return super()._make_layer(block, scaled(planes, width, multiple), *args, **kwargs)

    block_class = getattr(resnet, block)
    net = ScaledResNet(block_class, [*counts, 1][:STAGES], num_classes=1, **kwargs)
    stem = scaled(STEM_CHANNELS, width, multiple)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(in_channels, stem, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(stem),
        relu=nn.ReLU(inplace=True),
    )
    for stage in range(len(counts)):
        layers[f"layer{stage + 1}"] = getattr(net, f"layer{stage + 1}")
    last_planes = scaled(STEM_CHANNELS * 2 ** (len(counts) - 1), width, multiple)
    return nn.Sequential(layers), block_class.expansion * last_planes


def _fc(channels: int, num_classes: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(OrderedDict(fc=nn.Linear(channels, num_classes, bias=bias)))
