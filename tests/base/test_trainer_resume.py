"""A run that was stopped or killed at any moment ends with the bits of the run that nobody disturbed."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from autovul.base.checkpoint import load_checkpoint, load_state, save_checkpoint
from autovul.base.errors import Interrupted, UserError
from autovul.base.progress import Progress
from autovul.base.trainer import TrainingOptions, cross_entropy_step
from autovul.base.training import state_file
from autovul.base.training.history import History, total
from autovul.base.training.optimiser_classes import OPTIMISERS
from autovul.base.training.state_file import StateFile
from tests.base.tiny_training import OPTIONS, Points, quiet_trainer, run, tiny_net

EPOCHS, STEPS = OPTIONS.epoch, len(Points())
PROGRAM = Path(__file__).with_name("tiny_training.py")
ROOT = PROGRAM.parents[2]


@pytest.fixture(autouse=True)
def save_at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_file, "LARGEST_SHARE", float("inf"))  # however short the epochs of these tests are


def with_changes(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{**OPTIONS.model_dump(), **changes})


def course(history: History) -> list[dict[str, Any]]:
    """The records without what depends on the clock."""
    timeless = {"seconds": None, "samples_per_second": None}
    return [{**asdict(record), **timeless} for record in history.records]


def assert_same_end(model: nn.Module, history: History, expected: tuple[nn.Module, History]) -> None:
    twin, course_of_twin = expected
    for name, weight in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert course(history) == course(course_of_twin)
    assert history.best_epoch == course_of_twin.best_epoch
    assert history.counts() == course_of_twin.counts()
    assert history.best_state is not None and course_of_twin.best_state is not None
    assert all(map(torch.equal, history.best_state.values(), course_of_twin.best_state.values()))


@pytest.fixture(scope="module")
def undisturbed() -> tuple[nn.Module, History]:
    model = tiny_net()
    return model, quiet_trainer().fit(model, Points(), Points(seed=5))


def stop_at(*moments: tuple[int, int], number: int = signal.SIGTERM) -> Any:
    """A visitor that raises a signal while the batch of that moment is made."""
    return lambda epoch, batch: signal.raise_signal(number) if (epoch, batch) in moments else None


class Killed(Exception):
    """Stands for an end without warning."""


def die_at(*moments: tuple[int, int]) -> Any:
    def visit(epoch: int, batch: int) -> None:
        if (epoch, batch) in moments:
            raise Killed

    return visit


# ---- stopped by a signal


@pytest.mark.parametrize("epoch", range(EPOCHS))
@pytest.mark.parametrize("batch", range(STEPS))
def test_stopped_at_any_step(tmp_path: Path, undisturbed: tuple[nn.Module, History], epoch: int, batch: int) -> None:
    state = tmp_path / "net.state"
    with pytest.raises(Interrupted) as stopped:
        quiet_trainer(state_path=state).fit(tiny_net(), Points(visit=stop_at((epoch, batch))), Points(seed=5))
    assert str(stopped.value) == f"stopped at epoch {epoch + 1}, step {batch + 1}; continue with --resume"
    assert stopped.value.status == 143
    torch.manual_seed(999)
    np.random.seed(999)
    model = tiny_net(seed=999)  # its weights come from the state
    history = quiet_trainer(with_changes(resume=True), state_path=state).fit(model, Points(), Points(seed=5))
    assert history.resumed_from == (epoch, batch + 1)
    assert_same_end(model, history, undisturbed)


@pytest.mark.parametrize("validation", range(4))
def test_stopped_within_a_validation(tmp_path: Path, undisturbed: tuple[nn.Module, History], validation: int) -> None:
    visits: list[int] = []

    def visit(epoch: int, batch: int) -> None:
        visits.append(batch)
        if len(visits) == validation * STEPS + 1:
            signal.raise_signal(signal.SIGINT)

    state = tmp_path / "net.state"
    with pytest.raises(Interrupted) as stopped:
        quiet_trainer(state_path=state).fit(tiny_net(), Points(), Points(seed=5, visit=visit))
    assert stopped.value.status == 130
    assert len(visits) == validation * STEPS + 1  # the rest of the validation is not waited for
    model = tiny_net()
    history = quiet_trainer(with_changes(resume=True), state_path=state).fit(model, Points(), Points(seed=5))
    assert_same_end(model, history, undisturbed)


def test_stopped_at_every_step_of_one_run(tmp_path: Path, undisturbed: tuple[nn.Module, History]) -> None:
    everywhere = [(epoch, batch) for epoch in range(EPOCHS) for batch in range(STEPS)]
    trainer = quiet_trainer(with_changes(resume=True), state_path=tmp_path / "net.state")
    for _ in everywhere:
        with pytest.raises(Interrupted):
            trainer.fit(tiny_net(), Points(visit=stop_at(*everywhere)), Points(seed=5))
    model = tiny_net()
    history = trainer.fit(model, Points(visit=stop_at(*everywhere)), Points(seed=5))
    assert_same_end(model, history, undisturbed)


def test_a_state_without_counts_goes_on_without_them(tmp_path: Path) -> None:
    """As one of an earlier version has none: what was not counted is not told as if it were all."""
    path = tmp_path / "net.state"
    quiet_trainer(with_changes(epoch=1), state_path=path).fit(tiny_net(), Points())
    content = load_checkpoint(path)
    for name in ("steps", "forward", "backward"):
        del content["state"]["history"][name]
    save_checkpoint(path, content)
    for epochs in (2, 3):
        longer = with_changes(epoch=epochs, resume=True, resume_changed=True)
        history = quiet_trainer(longer, state_path=path).fit(tiny_net(), Points())
        assert (history.counts(), total([history, History()]), len(history.records)) == ({}, {}, epochs + 1)


def test_the_former_handlers_return(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match="nothing was kept"):
        quiet_trainer().fit(tiny_net(), Points(visit=stop_at((0, 0))))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# ---- killed


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_killed_after_any_epoch(tmp_path: Path, undisturbed: tuple[nn.Module, History], epoch: int) -> None:
    state = tmp_path / "net.state"
    with pytest.raises(Killed):
        quiet_trainer(state_path=state).fit(tiny_net(), Points(visit=die_at((epoch, 1))), Points(seed=5))
    model = tiny_net(seed=999)
    history = quiet_trainer(with_changes(resume=True), state_path=state).fit(model, Points(), Points(seed=5))
    assert history.resumed_from == (epoch, 0)
    assert_same_end(model, history, undisturbed)


def test_a_long_epoch_is_saved_within(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "LONGEST_GAP", 0.0)
    state = tmp_path / "net.state"
    with pytest.raises(Killed):
        quiet_trainer(state_path=state).fit(tiny_net(), Points(visit=die_at((2, 2))), Points(seed=5))
    model = tiny_net()
    history = quiet_trainer(with_changes(resume=True), state_path=state).fit(model, Points(), Points(seed=5))
    assert history.resumed_from == (2, 2)
    assert_same_end(model, history, undisturbed)


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(state_file, "LARGEST_SHARE", 0.05)
    monkeypatch.setattr(state_file.time, "monotonic", lambda: now[0])

    def slow_save(*_: object) -> None:
        now[0] += 2.0

    monkeypatch.setattr(state_file, "save_checkpoint", slow_save)
    file = StateFile(tmp_path / "net.state", {})
    assert file.is_due(epoch_ended=True)  # nothing is known of the cost yet
    file.save(state=type("State", (), {"to_plain": dict})())  # type: ignore[arg-type]
    for seconds, within, at_end in [(39, False, False), (41, False, True), (599, False, True), (601, True, True)]:
        now[0] = 2.0 + seconds
        assert (file.is_due(epoch_ended=False), file.is_due(epoch_ended=True)) == (within, at_end)


@pytest.mark.parametrize("name", [name for name in OPTIMISERS.list() if name != "Muon"])
def test_every_optimiser_resumes(tmp_path: Path, name: str) -> None:
    options = TrainingOptions(epoch=2, OptimType=name, resume=True)
    whole, model = tiny_net(), tiny_net()
    quiet_trainer(options).fit(whole, Points())
    trainer = quiet_trainer(options, state_path=tmp_path / "net.state")
    with pytest.raises(Interrupted):
        trainer.fit(model, Points(visit=stop_at((1, 0))))
    trainer.fit(model, Points())
    assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))


def test_the_state_of_a_step_and_all_generators_are_part_of_the_state(tmp_path: Path) -> None:
    class Drifting:
        """Its weight changes with each step, and it draws from every global generator."""

        def __init__(self) -> None:
            self.scale = torch.ones(())

        def __call__(self, model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
            self.scale = self.scale * 0.9 + 0.1 * torch.rand(())
            loss, logits = cross_entropy_step(model, x, y)
            return loss * self.scale * (1 + random.random() + np.random.rand() + np.random.randn()), logits

        def state_dict(self) -> dict[str, Tensor]:
            return {"scale": self.scale}

        def load_state_dict(self, state: dict[str, Tensor]) -> None:
            self.scale = state["scale"]

    whole, model = tiny_net(), tiny_net()
    quiet_trainer(step=Drifting()).fit(whole, Points())
    with pytest.raises(Interrupted):
        quiet_trainer(state_path=tmp_path / "s", step=Drifting()).fit(model, Points(visit=stop_at((2, 1))))
    quiet_trainer(with_changes(resume=True), state_path=tmp_path / "s", step=Drifting()).fit(model, Points())
    assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))


# ---- what may be resumed


def stopped_run(path: Path, **arguments: Any) -> Path:
    with pytest.raises(Interrupted):
        quiet_trainer(state_path=path, **arguments).fit(tiny_net(), Points(visit=stop_at((2, 1))), Points(seed=5))
    return path


@pytest.mark.parametrize(
    "options, arguments, says",
    [
        ({"lr": 0.2}, {}, r"\(lr: 0.1 -> 0.2\)"),
        ({"lr": 0.2, "epoch": 6}, {}, r"\(epoch: 5 -> 6, lr: 0.1 -> 0.2\)"),
        ({"OptimType": "Adam"}, {}, "OptimType: SGD -> Adam"),
        ({"grad_clip": None}, {}, "grad_clip: 0.5 -> None"),
        ({"precision": "bf16"}, {}, "precision: fp32 -> bf16"),
        ({}, {"seed": 2}, "seed: 1 -> 2"),
        ({}, {"identity": {"model": "b"}}, "model: a -> b"),
        ({}, {"identity": {}}, "model: a -> absent"),
    ],
)
def test_changed_options_are_refused_with_the_difference(
    tmp_path: Path, options: dict[str, Any], arguments: dict[str, Any], says: str
) -> None:
    path = stopped_run(tmp_path / "net.state", identity={"model": "a"})
    arguments = {"identity": {"model": "a"}, "state_path": path, **arguments}
    with pytest.raises(UserError, match=says) as error:
        quiet_trainer(with_changes(resume=True, **options), **arguments).fit(tiny_net(), Points())
    assert "\n" not in str(error.value) and "--resume_changed" in str(error.value)
    accepted = with_changes(resume=True, resume_changed=True, **options)
    history = quiet_trainer(accepted, **arguments).fit(tiny_net(), Points(), Points(seed=5))
    assert history.resumed_from == (2, 2)


def test_other_data_is_refused(tmp_path: Path) -> None:
    path = stopped_run(tmp_path / "net.state")
    with pytest.raises(UserError, match="samples: 11 -> 8"):
        quiet_trainer(with_changes(resume=True), state_path=path).fit(tiny_net(), Points(8, 3))


def test_options_of_output_and_paths_may_change(tmp_path: Path) -> None:
    path = stopped_run(tmp_path / "net.state", identity={"data": Path("x"), "mean": (0.5, 0.25)})
    options = with_changes(resume=True, log_dir="elsewhere", save=False)
    identity = {"data": Path("x"), "mean": [0.5, 0.25]}
    assert quiet_trainer(options, state_path=path, identity=identity).fit(tiny_net(), Points()).resumed_from == (2, 2)


def test_changed_options_take_effect(tmp_path: Path) -> None:
    """The state holds the optimiser's momenta, not its settings."""
    path = stopped_run(tmp_path / "net.state")
    ends = []
    for decay in (0.0, 0.1):
        options = with_changes(resume=True, resume_changed=True, weight_decay=decay)
        model = tiny_net()
        quiet_trainer(options, state_path=tmp_path / f"{decay}").fit(model, Points())
        copy = tmp_path / f"{decay}.state"
        copy.write_bytes(path.read_bytes())
        quiet_trainer(options, state_path=copy).fit(model, Points())
        ends.append(model.classifier.weight)
    assert not torch.equal(*ends)


@pytest.mark.parametrize(("before", "after"), [("full", "classifier"), ("classifier", "full")])
def test_momenta_follow_their_parameters(tmp_path: Path, before: str, after: str) -> None:
    """Of the parameters that are trained, those that were before keep their momentum, and the others start anew."""
    options = with_changes(parameters=before)
    path = stopped_run(tmp_path / "net.state", options=options)
    plain = load_checkpoint(path)["state"]
    kept = {plain["trained"][index]: entries["momentum_buffer"] for index, entries in plain["optimiser"].items()}
    first: dict[str, Tensor | None] = {}
    model = tiny_net()

    def spy(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        trained = {id(p) for group in optimiser.param_groups for p in group["params"]}
        for name, parameter in model.named_parameters():
            if id(parameter) in trained:
                momentum = optimiser.state[parameter].get("momentum_buffer")
                first.setdefault(name, None if momentum is None else momentum.clone())

    handle = register_optimizer_step_pre_hook(spy)
    try:
        changed = options.model_copy(update={"parameters": after, "resume": True, "resume_changed": True})
        quiet_trainer(changed, state_path=path).fit(model, Points())
    finally:
        handle.remove()
    assert {name.split(".")[0] for name in first} == {"classifier", *(["features"] if after == "full" else [])}
    for name, momentum in first.items():
        assert (momentum is None) == (name not in kept)
        assert momentum is None or torch.equal(momentum, kept[name])


def test_momentum_may_be_asked_for_later(tmp_path: Path) -> None:
    options = with_changes(OptimType="RMSprop", momentum=0.0)
    path = stopped_run(tmp_path / "net.state", options=options)
    changed = options.model_copy(update={"momentum": 0.9, "resume": True, "resume_changed": True})
    assert quiet_trainer(changed, state_path=path).fit(tiny_net(), Points()).status == "ok"


@pytest.mark.parametrize("moment", [(2, 0), (3, 1)])
def test_a_run_that_diverges_after_a_resume_has_the_last_good_epoch(tmp_path: Path, moment: tuple[int, int]) -> None:
    """And not the weights of the moment at which it was stopped."""

    def step(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = cross_entropy_step(model, x, y)
        return loss * (torch.nan if seen[-1] == (3, 2) else 1), logits

    seen: list[tuple[int, int]] = []

    def fit(model: nn.Module, path: Path, *stops: tuple[int, int], resume: bool = False) -> History:
        stop = stop_at(*stops)
        points = Points(visit=lambda epoch, batch: (seen.append((epoch, batch)), stop(epoch, batch)))
        return quiet_trainer(with_changes(resume=resume), state_path=path, step=step).fit(model, points)

    twin, model = tiny_net(), tiny_net()
    assert fit(twin, tmp_path / "twin.state").status == "diverged"
    with pytest.raises(Interrupted):
        fit(tiny_net(), tmp_path / "net.state", moment)
    assert fit(model, tmp_path / "net.state", resume=True).status == "diverged"
    assert all(map(torch.equal, model.state_dict().values(), twin.state_dict().values()))


def test_no_state_yet_starts_from_scratch_and_says_so(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_net()
    trainer = quiet_trainer(with_changes(resume=True), state_path=tmp_path / "net.state", progress=Progress("lines"))
    assert_same_end(model, trainer.fit(model, Points(), Points(seed=5)), undisturbed)
    assert "starting from scratch" in capsys.readouterr().err


def test_a_finished_run_is_not_run_again(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], capsys: pytest.CaptureFixture[str]
) -> None:
    quiet_trainer(state_path=tmp_path / "net.state").fit(tiny_net(), Points(), Points(seed=5))
    model = tiny_net()
    trainer = quiet_trainer(with_changes(resume=True), state_path=tmp_path / "net.state", progress=Progress("lines"))
    untouchable = Points(visit=die_at((0, 0)))
    assert_same_end(model, trainer.fit(model, untouchable, untouchable), undisturbed)
    assert "finished already" in capsys.readouterr().err


def test_a_damaged_state_and_another_model_are_refused(tmp_path: Path) -> None:
    path = stopped_run(tmp_path / "net.state")
    trainer = quiet_trainer(with_changes(resume=True), state_path=path)
    with pytest.raises(UserError, match="does not fit this model") as error:
        trainer.fit(nn.Sequential(nn.Linear(6, 3)), Points())
    assert "\n" not in str(error.value)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        trainer.fit(tiny_net(), Points())


# ---- real processes


def log_of(folder: Path) -> list[tuple[str, int, int]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [(entry["event"], entry["epoch"], entry["step"]) for entry in map(json.loads, lines)]


def start(folder: Path, pause: float = 0.01) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(folder), str(pause)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_batch(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "batch\n"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def survive_kills(folder: Path, kills: int, expected: tuple[nn.Module, History]) -> None:
    """Kill processes that train at random moments until the count is reached, then let one come to the end."""
    forking = "forkserver" in multiprocessing.get_all_start_methods()  # its children need not import torch again
    context: Any = multiprocessing.get_context("forkserver" if forking else "spawn")
    context.set_forkserver_preload(["torch", "autovul.base.trainer", "tests.base.tiny_training"])
    moments = random.Random(kills)
    for _ in range(kills):
        started = context.Event()
        process = context.Process(target=run, args=(folder, 0.01, started.set))
        process.start()
        while process.is_alive() and not started.wait(0.02):
            pass  # a run that had finished before reports no batch
        time.sleep(moments.uniform(0, 0.12))
        process.kill()
        process.join()
        if (folder / "net.pth").exists():
            assert_undisturbed(folder, expected)
            shutil.rmtree(folder)
    process = context.Process(target=run, args=(folder, 0.0, print))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_undisturbed(folder, expected)


def assert_undisturbed(folder: Path, expected: tuple[nn.Module, History]) -> None:
    weights = load_state(folder / "net.pth")
    assert all(torch.equal(weights[name], weight) for name, weight in expected[0].state_dict().items())
    events = [(event, epoch) for event, epoch, _ in log_of(folder) if event in {"epoch", "validation", "end"}]
    assert len(events) == len(set(events))
    assert [epoch for event, epoch in events if event == "epoch"] == [1, 2, 3, 4, 5]


def test_killed_four_times(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    survive_kills(tmp_path / "run", 4, undisturbed)


@pytest.mark.slow
def test_killed_twenty_times(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    survive_kills(tmp_path / "run", 20, undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers no such signals")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_with_its_status(
    tmp_path: Path, undisturbed: tuple[nn.Module, History], processes: list[Any], number: int, status: int
) -> None:
    process = start(tmp_path, pause=0.02)
    processes.append(process)
    first_batch(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "continue with --resume" in errors and "Traceback" not in errors
    assert not (tmp_path / "net.pth").exists()
    model = tiny_net()
    trainer = quiet_trainer(with_changes(resume=True), state_path=tmp_path / "net.state")
    history = trainer.fit(model, Points(), Points(seed=5))
    assert history.resumed_from is not None
    assert_same_end(model, history, undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers no such signals")
def test_a_second_signal_leaves_at_once(tmp_path: Path, processes: list[Any]) -> None:
    process = start(tmp_path, pause=600)
    processes.append(process)
    first_batch(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "second signal" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert not (tmp_path / "net.state").exists()
