"""From options to a torch optimiser: which parameters are trained, by what, and at which learning rate."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from autovul.base.errors import UserError
from autovul.base.training.optimiser_classes import OPTIMISERS
from autovul.base.training.options import TrainingOptions

FUSED = {"SGD", "Adam", "AdamW"}  # one kernel updates all parameters on CUDA


def build_optimiser(options: TrainingOptions, parameters: Iterable[nn.Parameter], device: torch.device) -> Optimizer:
    """The optimiser that ``options`` describes, with all parameters in one group.

    ``momentum``, ``weight_decay`` and ``nesterov`` are handed to the optimisers that take them.

    Raises:
        UserError: One of them was changed from its default and the optimiser does not take it, or the optimiser
            refuses the parameters.
    """
    kind = OPTIMISERS.get(options.OptimType)
    accepted = inspect.signature(kind).parameters
    settings: dict[str, Any] = {"lr": options.lr}
    for name in ("momentum", "weight_decay", "nesterov"):
        value = getattr(options, name)
        if name in accepted:
            settings[name] = value
        elif value != type(options).model_fields[name].default:
            raise UserError(f"{options.OptimType} takes no {name} (it was set to {value!r})")
    if device.type == "cuda" and options.OptimType in FUSED:
        settings["fused"] = True
    try:
        optimiser = kind(parameters, **settings)
    except (ValueError, TypeError) as error:
        raise UserError(f"{options.OptimType} cannot train this model: {error}") from error
    if settings.get("fused") and settings.get("momentum"):
        # Fused SGD would make its buffers in the first step, of memory that nothing was written to, and fill them only
        # if no gradient overflows.
        for parameter in optimiser.param_groups[0]["params"]:
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def learning_rate(options: TrainingOptions, epoch: int, part: float = 0.0) -> float:
    r"""The learning rate at a moment of the training.

    .. math:: \frac{lr}{2} \Bigl(1 + \cos \frac{\pi e}{E}\Bigr)
              \quad\text{or, with } t = \frac{e + p}{E} \text{ and the share } w,\quad
              lr \cdot \frac{t}{w} \;(t < w), \quad
              \frac{lr}{2} \Bigl(1 + \cos \frac{\pi (t - w)}{1 - w}\Bigr) \;(t \ge w)

    or ``lr`` throughout.

    Args:
        options: ``lr``, the number of epochs E, and ``lr_scheduler`` or ``one_cycle`` w.
        epoch: e, epochs already done, from 0.
        part: p, the part of the next epoch that is done, from 0 to 1; for ``one_cycle`` alone.

    Source: of one cycle, Smith and Topin, Super-Convergence (arXiv 1708.07120), with a cosine for the way down and
    constant momentum.
    """
    if options.one_cycle is not None:
        done, rise = (epoch + part) / options.epoch, options.one_cycle
        if done < rise:
            return options.lr * done / rise
        return options.lr / 2 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))
    if not options.lr_scheduler:
        return options.lr
    return options.lr / 2 * (1 + math.cos(math.pi * epoch / options.epoch))


class TrainedPart:
    """The part of a model that is trained, and the rest that stands still.

    Args:
        model: Any module; for a part it needs submodules ``features`` and ``classifier``.
        part: ``full``; ``classifier``: that submodule; ``features``: all submodules but ``classifier``.

    Raises:
        UserError: The model has no such submodule, or nothing in the part can be trained.
    """

    def __init__(self, model: nn.Module, part: str) -> None:
        self.model = model
        children = dict(model.named_children())
        while len(children) == 1 and "classifier" not in children:  # a wrapper has the parts of what it wraps
            (wrapped,) = children.values()
            if not (inner := dict(wrapped.named_children())):
                break
            children = inner
        if part != "full" and "classifier" not in children:
            there = ", ".join(children) or "none"
            raise UserError(f"parameters={part!r} needs a model with a submodule 'classifier'; there are: {there}")
        moving = {"full": [*children], "classifier": ["classifier"], "features": [*(children.keys() - {"classifier"})]}
        self.frozen = [child for name, child in children.items() if name not in moving[part]]
        frozen = {id(parameter) for module in self.frozen for parameter in module.parameters()}
        self.parameters = [p for p in model.parameters() if id(p) not in frozen and p.requires_grad]
        if not self.parameters:
            raise UserError(f"parameters={part!r}: the model has nothing there that can be trained")

    def train(self) -> None:
        """Training mode, but evaluation mode for what is frozen: its batch-norm statistics stay as they are."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    @contextlib.contextmanager
    def others_frozen(self) -> Iterator[None]:
        """No gradients for the frozen parameters inside the block; the former flags afterwards."""
        trained = {id(parameter) for parameter in self.parameters}
        switched = [p for p in self.model.parameters() if p.requires_grad and id(p) not in trained]
        for parameter in switched:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in switched:
                parameter.requires_grad_(True)
