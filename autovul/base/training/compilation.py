"""Compiling a network for training, where that is asked for."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from autovul.base.errors import UserError


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """The same network, with the same parameters, whose passes `torch.compile` fuses.

    The first step of each kind (a whole batch, the last smaller one) compiles for seconds to minutes.

    Raises:
        UserError: Nothing can be compiled here; on a CPU that takes a C++ compiler.
    """
    try:
        # One operation tells whether the tools are there, so that no error of the network is taken for their absence.
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # the compilers, their wrappers and the search for them raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"torch.compile does not work on {device}, leave out --compile: {reason}") from error
    return cast(nn.Module, torch.compile(model, dynamic=False))
