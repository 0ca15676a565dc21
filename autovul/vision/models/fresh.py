"""The same architecture with new weights, for training from scratch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from autovul.base.errors import UserError
from autovul.vision.models.base import ImageModel


def fresh(model: nn.Module) -> nn.Module:
    """The architecture of ``model`` with newly drawn weights, in eval mode; ``model`` itself stays as it is.

    A model of `models.create`, or any module with a method ``fresh()``, is built anew and so has the initialisation
    that belongs to it. Any other module is copied and every submodule's ``reset_parameters`` is called: PyTorch's
    default initialisation, whatever the module's own was.

    Args:
        model: Any module. Weights are drawn from torch's global generator.

    Returns:
        A module on the CPU (built anew) or on the device of ``model`` (copied).

    Raises:
        UserError: A submodule has parameters of its own and no way to draw them again.
    """
    made_by_create = isinstance(model, ImageModel) and model.builder is not None
    if made_by_create or (not isinstance(model, ImageModel) and callable(getattr(model, "fresh", None))):
        return model.fresh().eval()  # type: ignore[operator]
    known = resets(model)
    for name, module in model.named_modules():
        if is_derived(module) or (any(True for _ in module.parameters(recurse=False)) and name not in known):
            where = f"its submodule {name!r}" if name else "it"
            why = (
                "computes its weight from others" if is_derived(module) else "has parameters and no reset_parameters()"
            )
            raise UserError(
                f"{type(model).__name__} cannot be given new weights: {where} ({type(module).__name__}) {why}; "
                "give the model's class a method fresh()"
            )
    twin = copy.deepcopy(model)
    for reset in resets(twin).values():
        reset()
    return twin.eval()


def resets(model: nn.Module) -> dict[str, Callable[[], object]]:
    """How modules draw their parameters anew, by their names; in the order in which they have to.

    By ``reset_parameters``; attention that has none by what PyTorch calls in its place. Attention comes last, because
    it sets the bias of the linear layer within it.
    """
    named = [(name, module, _reset(module)) for name, module in model.named_modules()]
    named.sort(key=lambda each: isinstance(each[1], nn.MultiheadAttention))
    return {name: reset for name, _, reset in named if reset is not None}


def _reset(module: nn.Module) -> Callable[[], object] | None:
    if callable(reset := getattr(module, "reset_parameters", None)):
        return cast("Callable[[], object]", reset)
    return module._reset_parameters if isinstance(module, nn.MultiheadAttention) else None


def trainable_copy(model: nn.Module) -> nn.Module:
    """A copy to train: layers that are frozen stay so, unless all are, as in a model that was only to be attacked."""
    with torch.no_grad():  # parameters of a scripted module would be no leaves
        twin = copy.deepcopy(model)
    for parameter, given in zip(twin.parameters(), model.parameters(), strict=True):
        parameter.requires_grad_(given.requires_grad)
    return thawed(twin)


def thawed(model: nn.Module) -> nn.Module:
    """The model itself, all its parameters asking for gradients if none did."""
    parameters = [*model.parameters()]
    if not any(parameter.requires_grad for parameter in parameters):
        for parameter in parameters:
            parameter.requires_grad_()
    return model


def is_derived(module: nn.Module) -> bool:
    """Whether the weight is computed from several others (weight_norm, spectral_norm), so that it cannot be drawn."""
    if any(isinstance(hook, WeightNorm | SpectralNorm) for hook in module._forward_pre_hooks.values()):
        return True
    if not parametrize.is_parametrized(module):
        return False
    chains = cast(nn.ModuleDict, module.parametrizations).values()
    return any(not hasattr(chain, "original") for chain in chains)
