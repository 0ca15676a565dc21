"""Training through torch.compile."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autovul.base.errors import Interrupted, UserError
from tests.base.tiny_team import plain_net
from tests.base.tiny_training import OPTIONS, Points, quiet_trainer, tiny_net

COMPILED = OPTIONS.model_copy(update={"compile": True})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """torch.compile without code generation; batch size and mode of each call of what it gave for a network."""
    seen: list[tuple[int, bool]] = []
    real = torch.compile

    def traced(target: Any, **options: Any) -> Any:
        made = real(target, **options, backend="eager")
        if isinstance(target, nn.Module):
            made.register_forward_pre_hook(lambda module, inputs: seen.append((len(inputs[0]), module.training)))
        return made

    monkeypatch.setattr(torch, "compile", traced)
    return seen


def test_steps_go_through_the_compiled_network_and_validations_do_not(calls: list[tuple[int, bool]]) -> None:
    plain, model = plain_net(), plain_net()
    expected = quiet_trainer().fit(plain, Points(), Points(seed=5))
    found = quiet_trainer(COMPILED).fit(model, Points(), Points(seed=5))
    assert calls == [(4, True), (4, True), (3, True)] * OPTIONS.epoch
    losses = [record.valid_loss for record in expected.records if record.valid_loss is not None]
    assert [record.valid_loss for record in found.records if record.valid_loss is not None] == pytest.approx(losses)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, plain.state_dict()[name]), name  # nothing is fused here, so nothing rounds otherwise


def test_weights_keep_their_names(calls: list[tuple[int, bool]]) -> None:
    model = tiny_net()
    names = [*model.state_dict()]
    history = quiet_trainer(COMPILED).fit(model, Points(), Points(seed=5))
    assert [*model.state_dict()] == names == [*(history.best_state or ())]


def test_where_nothing_compiles_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("No working C++ compiler found\nin any of 7 places")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(UserError, match="on cpu, leave out --compile: No working C[+][+] compiler found$"):
        quiet_trainer(COMPILED).fit(tiny_net(), Points())


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="no C++ compiler")
def test_a_compiled_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """With dropout, which the compiled code draws by itself."""
    whole, parts = tiny_net(), tiny_net()
    quiet_trainer(COMPILED).fit(whole, Points())
    stopped = []

    def stop(epoch: int, batch: int) -> None:
        if (epoch, batch) == (2, 2) and not stopped:
            stopped.append(True)
            signal.raise_signal(signal.SIGTERM)

    resumed = COMPILED.model_copy(update={"resume": True})
    with pytest.raises(Interrupted):
        quiet_trainer(resumed, state_path=tmp_path / "net.state").fit(parts, Points(visit=stop))
    fresh = tiny_net()
    quiet_trainer(resumed, state_path=tmp_path / "net.state").fit(fresh, Points())
    for name, weight in fresh.state_dict().items():
        assert torch.equal(weight, whole.state_dict()[name]), name
