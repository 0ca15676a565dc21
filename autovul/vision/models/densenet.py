"""DenseNet: torchvision's, with a 3×3 stride-1 first convolution that feeds the first dense block directly."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from autovul.vision.models.registry import DataShape, Parts, register
from autovul.vision.models.width import scaled


@register("densenet121_comp", "densenet_comp", group="manual", family="DenseNets")
def densenet121(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """DenseNet-121 (arXiv 1608.06993) with a ReLU after its last norm."""
    from torchvision.models import DenseNet

    stem = scaled(64, width)
    net = DenseNet(
        growth_rate=scaled(32, width, multiple=4), block_config=(6, 12, 24, 16), num_init_features=stem, num_classes=1
    )
    layers = OrderedDict(net.features.named_children())
    for name in ("norm0", "relu0", "pool0"):
        del layers[name]
    layers["conv0"] = nn.Conv2d(data_shape[0], stem, 3, padding=1, bias=False)
    layers["relu5"] = nn.ReLU(inplace=True)
    classifier = nn.Sequential(OrderedDict(fc=nn.Linear(net.classifier.in_features, num_classes)))
    return Parts(nn.Sequential(layers), classifier)
