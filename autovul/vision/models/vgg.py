"""VGG: torchvision's features and a small classifier."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import nn

from autovul.base.errors import UsageError
from autovul.vision.models.registry import DataShape, Parts, register
from autovul.vision.models.width import scaled

POOLINGS = 5


@register("vgg13_bn_comp", group="manual", family="VGGs")
def vgg13_bn(num_classes: int, data_shape: DataShape, *, width: float = 1.0, dropout: float = 0.5) -> Parts:
    """VGG-13 with batch norm (arXiv 1409.1556), and 512 units in both hidden layers of its classifier."""
    in_channels, *sides = data_shape
    if min(sides) < 2**POOLINGS:
        raise UsageError(f"vgg13_bn_comp halves its input {POOLINGS} times: sides must be at least 32, got {sides}")
    features = _features(in_channels, width)
    hidden = scaled(512, width)
    classifier = OrderedDict(
        fc1=nn.Linear(hidden, hidden),
        relu1=nn.ReLU(inplace=True),
        dropout1=nn.Dropout(dropout),
        fc2=nn.Linear(hidden, hidden),
        relu2=nn.ReLU(inplace=True),
        dropout2=nn.Dropout(dropout),
        fc3=nn.Linear(hidden, num_classes),
    )
    return Parts(features, nn.Sequential(classifier))


def _features(in_channels: int, width: float) -> nn.Sequential:
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers([c if c == "M" else scaled(int(c), width) for c in cfgs["B"]], batch_norm=True)
    if in_channels != 3:
        features[0] = nn.Conv2d(in_channels, features[0].out_channels, 3, padding=1)
    # torchvision.models.VGG initialises its features so, but would first build its classifier of 120 million weights.
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.constant_(cast(torch.Tensor, module.bias), 0)
    return features
