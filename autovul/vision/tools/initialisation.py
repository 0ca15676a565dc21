"""Drawing a network's weights anew by one rule, so that networks differ in architecture alone."""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from autovul.base.errors import UsageError
from autovul.vision.models.base import ImageModel
from autovul.vision.models.fresh import is_derived, resets

Init = Literal["published", "default", "kaiming"]


def initialise(model: nn.Module, init: Init, seed: int) -> None:
    """Draw all parameters of a network anew, in place; torch's random state is left as it was.

    * ``published``: nothing is drawn; the network stays as its builder made it.
    * ``default``: PyTorch's own, for every layer: weights of convolutions and linear layers uniform in ±1/√fan-in, and
      so are their biases; norms 1 and 0.
    * ``kaiming``: weights of convolutions normal with standard deviation √(2 / fan-out), where the fan-out of an input
      is the number of outputs that it feeds, the groups of a convolution taken into account; their biases 0; everything
      else as ``default``. It is torchvision's rule for ResNet and VGG, applied to every network.

    Parameters for which PyTorch has no rule, such as a transformer's class token, are those of a network built anew,
    where `models.create` has made it.

    Source: He et al., Delving Deep into Rectifiers (arXiv 1502.01852), section 2.2.

    Args:
        model: Changed in place.
        init: The rule.
        seed: Of all that is drawn.

    Raises:
        UsageError: A layer with parameters has no ``reset_parameters`` and cannot be built anew, so that nobody knows
            how to draw them; or its weight is computed from others.
    """
    if init == "published":
        return
    elsewhere = {p.device for p in model.parameters() if p.device.type != "cpu"}
    # What seeds all generators is not to touch those of a GPU on which nothing is drawn: they are not put back.
    seed_them = torch.manual_seed if elsewhere else torch.default_generator.manual_seed
    with torch.random.fork_rng([device for device in elsewhere if device.type == "cuda"]), torch.no_grad():
        seed_them(seed)
        known, unknown = resets(model), []
        for name, module in model.named_modules():
            if is_derived(module):
                raise UsageError(f"init {init!r}: the weight of {name} is computed from others and cannot be drawn")
            if isinstance(module, nn.Conv2d):
                _draw_convolution(module, init)
            elif isinstance(module, parametrize.ParametrizationList):
                continue  # belongs to its convolution, which was met before
            elif isinstance(module, nn.MultiheadAttention):
                continue  # after the linear layer within it
            elif name in known:
                known[name]()
            elif any(p is not None for p in module._parameters.values()):
                unknown.append(name)
        for name, module in model.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                known[name]()
        if unknown:
            _build_anew(model, unknown, init)


def _build_anew(model: nn.Module, names: list[str], init: str) -> None:
    """Take the parameters that belong to the modules of these names from a network built anew."""
    if not isinstance(model, ImageModel) or model.builder is None:
        kind = type(model.get_submodule(names[0])).__name__
        raise UsageError(
            f"init {init!r}: how to draw the parameters of {names[0] or 'the model'} ({kind}) is not known, as it has"
            " no reset_parameters"
        )
    other = model.fresh()
    for name in names:
        drawn = other.get_submodule(name).named_parameters(recurse=False)
        for parameter, (_, value) in zip(model.get_submodule(name).parameters(recurse=False), drawn, strict=True):
            parameter.copy_(value)


def _draw_convolution(conv: nn.Conv2d, init: Init) -> None:
    weight: Tensor = conv.weight
    if parametrize.is_parametrized(conv, "weight"):
        # What is learnt is the tensor before the parametrisation; the weight is computed from it.
        weight = cast(Tensor, cast(nn.ModuleDict, conv.parametrizations)["weight"].original)
    fan_in = weight[0].numel()
    if init == "kaiming":
        fan_out = weight.shape[0] // conv.groups * weight[0, 0].numel()
        weight.normal_(0.0, math.sqrt(2 / fan_out))
    else:
        weight.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    if conv.bias is not None:
        bound = 0.0 if init == "kaiming" else 1 / math.sqrt(fan_in)
        conv.bias.uniform_(-bound, bound)
