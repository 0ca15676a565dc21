"""Optimisers whose one kernel updates all parameters, as on CUDA: here PyTorch's own such kernels for CPUs."""

from __future__ import annotations

import copy
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from autovul.base import trainer
from autovul.base.errors import Interrupted
from autovul.base.trainer import cross_entropy_step
from autovul.base.training import precision
from autovul.base.training.optimiser import build_optimiser
from tests.base.test_trainer_parts import convolutional, with_changes
from tests.base.test_trainer_resume import stop_at
from tests.base.tiny_training import CLASSES, Points, quiet_trainer

FUSED = pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(trainer, "build_optimiser", lambda options, those, _: build_optimiser(options, those, cuda))


@pytest.fixture
def marked_memory() -> Iterator[None]:
    """Memory that nothing was written to holds NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def small_net() -> nn.Module:
    """Without a bias before a batch norm, whose gradient is rounding alone, which Adam takes for as large as any."""
    torch.manual_seed(7)
    features = nn.Sequential(nn.Linear(6, 16), nn.Tanh())
    return nn.Sequential(OrderedDict(features=features, classifier=nn.Linear(16, CLASSES)))


def assert_close(found: nn.Module, expected: nn.Module) -> None:
    for (key, one), other in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=key)


def trained(model: nn.Module, options: Any, **arguments: Any) -> nn.Module:
    assert quiet_trainer(options, **arguments).fit(model, Points()).status == "ok"
    return model


class FirstOverflows:
    """Cross entropy whose first gradient is not finite."""

    def __init__(self) -> None:
        self.factor = torch.inf

    def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        loss, logits = cross_entropy_step(model, x, y)
        factor, self.factor = self.factor, 1.0
        logits.register_hook(lambda gradient: gradient * factor)
        return loss, logits


@FUSED
@pytest.mark.parametrize("scaled", [False, True])
def test_they_train_as_the_plain_ones(name: str, scaled: bool, request: pytest.FixtureRequest) -> None:
    """Also after a first step that is left out, because its gradient overflows."""
    options = with_changes(OptimType=name, lr=0.01, precision="fp16" if scaled else "fp32")
    plain = trained(small_net(), options, step=FirstOverflows() if scaled else None)
    request.getfixturevalue("fused"), request.getfixturevalue("marked_memory")
    assert_close(trained(small_net(), options, step=FirstOverflows() if scaled else None), plain)


def stopped(model: nn.Module, options: Any, path: Path) -> None:
    with pytest.raises(Interrupted):
        quiet_trainer(options, state_path=path).fit(model, Points(visit=stop_at((2, 1))))


@FUSED
def test_a_run_goes_on_where_the_layout_is_another(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fused: None
) -> None:
    """Channels last on a CPU, and not on the CUDA device to which the state is taken."""
    options = with_changes(OptimType=name, lr=0.01, resume=True)
    model = convolutional()
    expected = trained(copy.deepcopy(model), options, state_path=tmp_path / "whole")
    stopped(model, options, tmp_path / "net.state")
    monkeypatch.setattr(precision, "LAID_OUT", {})
    differing = []

    def compare(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        pairs = [(p, kept) for p, state in optimiser.state.items() for kept in state.values()]
        differing.extend(1 for p, kept in pairs if kept.shape == p.shape and kept.stride() != p.stride())

    handle = register_optimizer_step_pre_hook(compare)
    try:
        found = trained(convolutional(), options, state_path=tmp_path / "net.state")
    finally:
        handle.remove()
    assert not differing
    assert_close(found, expected)


@FUSED
@pytest.mark.parametrize(("before", "after"), [("full", "classifier"), ("classifier", "full")])
def test_another_part_may_be_trained_later(
    name: str, before: str, after: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = with_changes(OptimType=name, lr=0.01, parameters=before)
    stopped(small_net(), options, tmp_path / "plain.state")
    shutil.copy(tmp_path / "plain.state", tmp_path / "fused.state")
    changed = options.model_copy(update={"parameters": after, "resume": True, "resume_changed": True})
    expected = trained(small_net(), changed, state_path=tmp_path / "plain.state")
    request.getfixturevalue("fused")
    assert_close(trained(small_net(), changed, state_path=tmp_path / "fused.state"), expected)
