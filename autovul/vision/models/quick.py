"""What to take for many passes through a network that is only asked: a copy that computes the same in less time."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from types import FunctionType

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from autovul.base.training.precision import gains_by_channels_last
from autovul.vision.models.base import ComposedModel


def quick(model: nn.Module) -> nn.Module:
    """A copy of a network of the project that computes the same in eval mode, but for rounding; others themselves.

    It is `laid_out`, and its batch norms are part of the convolutions before them: weights · γ / √(σ² + ε) in place of
    the weights and β − μ · γ / √(σ² + ε) for a bias. That takes some 240 passes over the feature maps from a cell
    network, and as many on the way back. Its weights are not the network's, which a record is made of.
    """
    stored = laid_out(model)
    if not isinstance(model, ComposedModel) or _has_listeners(model) or not any(_folding(model)):
        return stored
    copied = copy.deepcopy(model) if stored is model else stored
    fold_norms(copied.eval())
    return copied


def laid_out(model: nn.Module) -> nn.Module:
    """The network itself or, on a CPU, a copy whose convolutions are stored channels last, where that is faster.

    A model with an object for a hook is taken itself: the copy would tell a copy of that object. Functions are the same
    in both.
    """
    if not isinstance(model, ComposedModel) or _has_listeners(model):
        return model
    device = next(model.parameters()).device
    if device.type == "cpu" and gains_by_channels_last(model, device):
        return copy.deepcopy(model).to(memory_format=torch.channels_last)
    return model


def fold_norms(model: nn.Module) -> None:
    """Make each batch norm part of the convolution before it, in place, wherever one follows the other in a sequence.

    Left are norms that know no running statistics, convolutions that occur twice, and what somebody listens to.

    Args:
        model: In eval mode.
    """
    for sequence, place, convolution, norm in [*_folding(model)]:
        sequence[place], sequence[place + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()


def _folding(model: nn.Module) -> Iterator[tuple[nn.Sequential, int, nn.Conv2d, nn.BatchNorm2d]]:
    """Sequences, the places in them of convolutions whose batch norms can be part of them, and both of these."""
    times = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    for sequence in (module for module in model.modules() if type(module) is nn.Sequential):
        for place, (convolution, norm) in enumerate(itertools.pairwise(sequence)):
            if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
                continue
            replaced = "forward" in vars(convolution) or "forward" in vars(norm)
            if times[id(convolution)] == 1 and not _hooks(convolution) and not _hooks(norm) and not replaced:
                yield sequence, place, convolution, norm


def _has_listeners(model: nn.Module) -> bool:
    return any(not isinstance(hook, FunctionType) for module in model.modules() for hook in _hooks(module))


def _hooks(module: nn.Module) -> list[object]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hook for kind in kinds for hook in getattr(module, kind).values()]
