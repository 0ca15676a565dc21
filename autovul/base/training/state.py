"""All that a training run consists of at one moment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autovul.base.training.history import History
from autovul.base.training.random_state import random_state, restore_random_state
from autovul.base.training.running_mean import RunningMean


class TrainingState:
    """Model, optimiser, scaler, random generators, position, running sums and history of one run.

    Args:
        model: What is trained.
        optimiser: With its parameters.
        scaler: The loss scaler, active or not.
        device: Where the model is.
        extra: An object with ``state_dict`` and ``load_state_dict`` that changes during training, or anything else.
    """

    def __init__(
        self, model: nn.Module, optimiser: Optimizer, scaler: torch.amp.GradScaler, device: torch.device, extra: object
    ) -> None:
        self.model, self.optimiser, self.scaler, self.device = model, optimiser, scaler, device
        self.extra: Any = extra if hasattr(extra, "state_dict") and hasattr(extra, "load_state_dict") else None
        self.epoch = 0  # epochs that are done, their validation included
        self.step = 0  # steps that are done in the epoch that follows
        self.mean = RunningMean()
        self.history = History()
        self.last_good: dict[str, Any] = {}  # the model's entries after the last epoch without NaN; on the CPU
        self.rank = 0  # of this process in a team
        self.random_states: list[dict[str, Any]] = []  # of all processes of a team, when the state is to be saved

    def to_plain(self) -> dict[str, Any]:
        """Everything, as tensors and plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict()["state"],
            "optimiser_kind": type(self.optimiser).__name__,
            "trained": self._trained(),
            "last_good": self.last_good if self.step else None,  # else it is the model itself
            "scaler": self.scaler.state_dict(),
            "random": self.random_states or [random_state(self.device)],
            "mean": self.mean.to_plain(),
            "history": self.history.to_plain(),
            "extra": self.extra.state_dict() if self.extra else None,
        }

    def from_plain(self, plain: dict[str, Any]) -> None:
        """Take over what `to_plain` gave. The optimiser's hyper-parameters stay those of this run's options."""
        self.model.load_state_dict(plain["model"])
        self.last_good = plain["last_good"] or {}
        if plain["optimiser_kind"] == type(self.optimiser).__name__:
            self._continue_optimiser({plain["trained"][index]: kept for index, kept in plain["optimiser"].items()})
        if plain["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(plain["scaler"])
        if self.extra and plain["extra"] is not None:
            self.extra.load_state_dict(plain["extra"])
        self.mean.from_plain(plain["mean"])
        self.history.from_plain(plain["history"])
        self.epoch, self.step = plain["epoch"], plain["step"]
        if self.rank < len(plain["random"]):  # else there are more processes than there were
            restore_random_state(plain["random"][self.rank], self.device)

    def _trained(self) -> list[str]:
        """The names of the parameters, in the optimiser's order."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return [names[id(p)] for group in self.optimiser.param_groups for p in group["params"]]

    def _continue_optimiser(self, found: dict[str, dict[str, Any]]) -> None:
        """Take over what the optimiser kept of each parameter that is still trained; the others begin anew."""
        fresh = self.optimiser.state_dict()
        kept = {
            index: {**fresh["state"].get(index, {}), **found.get(name, {})}
            for index, name in enumerate(self._trained())
            if name in found or index in fresh["state"]
        }
        for state in kept.values():
            if isinstance(self.optimiser, torch.optim.RMSprop) and self.optimiser.defaults["momentum"]:
                state.setdefault("momentum_buffer", torch.zeros_like(state["square_avg"]))  # it had no momentum before
        self.optimiser.load_state_dict({"state": kept, "param_groups": fresh["param_groups"]})
        for parameter, state in self.optimiser.state.items():
            for key, value in state.items():
                is_alike = isinstance(value, Tensor) and value.shape == parameter.shape
                # Fused kernels want the parameter's layout, which on another device or in another precision differs.
                if is_alike and value.stride() != parameter.stride():
                    state[key] = torch.empty_like(parameter).copy_(value)
