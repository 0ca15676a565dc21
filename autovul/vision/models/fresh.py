"""The same architecture with new weights, for training from scratch."""

from __future__ import annotations

import copy

from torch import nn

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
    twin = copy.deepcopy(model)
    for name, module in twin.named_modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            where = f"its submodule {name!r}" if name else "it"
            raise UserError(
                f"{type(model).__name__} cannot be given new weights: {where} ({type(module).__name__}) has parameters "
                "and no reset_parameters(); give the model's class a method fresh()"
            )
    return twin.eval()
