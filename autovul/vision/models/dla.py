"""DLA (Deep Layer Aggregation) as a classifier."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from autovul.vision.models.registry import DataShape, Parts, register
from autovul.vision.models.width import scaled
from autovul.vision.utils.model_archs.dla import CHANNELS, dla34_features


@register("dla34_comp", group="manual", family="DLAs")
def dla34(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """DLA-34 (arXiv 1707.06484)."""
    channels = [scaled(count, width) for count in CHANNELS]
    features = dla34_features(data_shape[0], channels)
    return Parts(features, nn.Sequential(OrderedDict(fc=nn.Linear(channels[-1], num_classes))))
