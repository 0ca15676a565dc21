"""BiT (Big Transfer) as a classifier."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from autovul.vision.models.registry import DataShape, Parts, register
from autovul.vision.models.width import scaled
from autovul.vision.utils.model_archs.bit import GROUPS, bit_features


@register("bit-m-r50x1_comp", "bit_comp", group="manual", family="BiTs")
def bit_m_r50x1(num_classes: int, data_shape: DataShape, *, width: float = 1.0) -> Parts:
    """BiT R50x1 (arXiv 1912.11370), from scratch."""
    channels = scaled(64, width, multiple=GROUPS)
    features = bit_features(data_shape[0], channels)
    return Parts(features, nn.Sequential(OrderedDict(fc=nn.Linear(32 * channels, num_classes))))
