"""The optimisers of ``torch.optim`` by name."""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer

from autovul.base.registry import Registry

UNSUITED = {"Optimizer", "LBFGS", "SparseAdam"}  # the base class; needs closures; needs sparse gradients

OPTIMISERS: Registry[type[Optimizer]] = Registry("optimiser")
for _name, _member in vars(torch.optim).items():
    if inspect.isclass(_member) and issubclass(_member, Optimizer) and _name not in UNSUITED:
        OPTIMISERS.register(_name)(_member)


def optimiser_class(name: str) -> type[Optimizer]:
    """The optimiser of ``torch.optim`` with this name.

    Raises:
        UnknownName: There is none (the message gives the nearest), or it cannot train a network batch by batch.
    """
    return OPTIMISERS.get(name)
