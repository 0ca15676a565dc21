"""The optimisers of ``torch.optim`` by name."""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer

from autovul.base.registry import Registry

# They cannot train a network batch by batch: the base class; needs closures; needs sparse gradients.
UNSUITED = {"Optimizer", "LBFGS", "SparseAdam"}

OPTIMISERS: Registry[type[Optimizer]] = Registry("optimiser")
for _name, _member in vars(torch.optim).items():
    if inspect.isclass(_member) and issubclass(_member, Optimizer) and _name not in UNSUITED:
        OPTIMISERS.register(_name)(_member)
