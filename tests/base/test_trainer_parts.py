"""Precision, divergence, memory, log and display."""

from __future__ import annotations

import builtins
import copy
import io
import json
import math
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autovul.base import progress as progress_module
from autovul.base.checkpoint import load_checkpoint
from autovul.base.errors import Interrupted, UserError
from autovul.base.progress import Progress, clock
from autovul.base.trainer import TrainingOptions, cross_entropy_step
from autovul.base.training import precision as precision_module
from autovul.base.training.evaluation import evaluation_mode
from autovul.base.training.log import TrainingLog
from autovul.base.training.precision import effective_precision, resolve_precision
from autovul.base.training.random_state import random_state
from autovul.base.training.run import TrainingRun
from autovul.base.training.running_mean import RunningMean
from tests.base.test_trainer_resume import stop_at
from tests.base.tiny_training import OPTIONS, Points, quiet_trainer, tiny_net

CPU = torch.device("cpu")


def with_changes(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{**OPTIONS.model_dump(), **changes})


# ---- precision


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bf16_where_the_device_has_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "_native_bf16", lambda device: native)
    assert effective_precision("auto", CPU) == ("bf16" if native else "fp32")
    history = quiet_trainer(with_changes(amp=True)).fit(tiny_net(), Points())
    assert history.precision == ("bf16" if native else "fp32")


def test_bf16_where_it_is_only_emulated_and_unknown_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Quadro RTX 6000")
    with pytest.raises(UserError, match="RTX 6000 has no bf16"):
        effective_precision("bf16", torch.device("cuda"))
    assert effective_precision("auto", torch.device("cuda")) == "fp32"
    assert effective_precision("fp16", torch.device("cuda")) == "fp16"
    with pytest.raises(ValueError, match="fp32, auto, bf16 or fp16, got 'fp8'"):
        effective_precision("fp8", CPU)


@pytest.mark.parametrize("name, scaled", [("fp32", False), ("bf16", False), ("fp16", True)])
def test_the_precision_asked_for_is_in_effect(name: str, scaled: bool) -> None:
    kinds = []

    def spy(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        loss, logits = cross_entropy_step(model, x, y)
        kinds.append(logits.dtype)
        return loss, logits

    history = quiet_trainer(with_changes(precision=name), step=spy).fit(tiny_net(), Points(), Points(seed=5))
    assert set(kinds) == {precision_module.DTYPES[name]}
    assert history.precision == name
    assert resolve_precision(name, CPU, tiny_net()).scaler().is_enabled() == scaled
    assert history.last_accuracy is not None and history.last_accuracy > 0.5


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_the_gradient_is_clipped_in_every_precision(name: str) -> None:
    """With plain SGD at rate 1 and no decay, the first step is as long as the clipped gradient."""
    model, before = tiny_net(), tiny_net()
    recipe = with_changes(precision=name, lr=1.0, momentum=0.0, weight_decay=0.0, grad_clip=0.01, epoch=1)
    quiet_trainer(recipe).fit(model, Points(4, 4))
    moved = [new - old for new, old in zip(model.parameters(), before.parameters(), strict=True)]
    assert torch.cat([part.flatten() for part in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_pass_without_gradients_leaves_the_training_as_it_is(name: str) -> None:
    def with_a_look(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), evaluation_mode(model):
            model(x)
        return cross_entropy_step(model, x, y)

    plain, looked = tiny_net(), tiny_net()
    quiet_trainer(with_changes(precision=name)).fit(plain, Points())
    quiet_trainer(with_changes(precision=name), step=with_a_look).fit(looked, Points())
    assert all(map(torch.equal, plain.state_dict().values(), looked.state_dict().values()))


def require_resumption(model: nn.Module, precision: str, folder: Path) -> nn.Module:
    """A run that is stopped and resumed ends with the bits of one that is not; the model at its end."""
    options, whole = with_changes(precision=precision, resume=True), copy.deepcopy(model)
    quiet_trainer(options, state_path=folder / "whole").fit(whole, Points())
    trainer = quiet_trainer(options, state_path=folder / "stopped")
    with pytest.raises(Interrupted):
        trainer.fit(model, Points(visit=stop_at((2, 1))))
    trainer.fit(model, Points())
    assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))
    return model


def test_fp16_resumes_with_its_scaler(tmp_path: Path) -> None:
    require_resumption(tiny_net(), "fp16", tmp_path)
    scalers = [load_checkpoint(tmp_path / name)["state"]["scaler"] for name in ("whole", "stopped")]
    assert scalers[0] == scalers[1] and scalers[0]["_growth_tracker"] > 0


class Willing(nn.Sequential):
    asked = 0

    def takes_channels_last(self) -> bool:
        self.asked += 1
        return True


def convolutional(*extra: nn.Module, groups: int = 1, kind: type[nn.Sequential] = Willing) -> nn.Module:
    shaped = [nn.Unflatten(1, (2, 1, 3)), nn.Conv2d(2, 4, 3, padding=1, groups=groups), *extra]
    return kind(*shaped, nn.Flatten(), nn.Linear(12, 3))


@pytest.mark.parametrize("native", [False, True])
def test_convolutions_are_laid_out_and_put_back(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(precision_module, "_native_bf16", lambda device: native)
    layouts = []

    def spy(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        layouts.append(model[1].weight.is_contiguous(memory_format=torch.channels_last))  # type: ignore[index]
        return cross_entropy_step(model, x, y)

    for precision, expected in (("auto", True), ("bf16", True), ("fp32", True), ("fp16", False)):
        model = convolutional()
        quiet_trainer(with_changes(precision=precision, epoch=1), step=spy).fit(model, Points(), Points(seed=5))
        assert set(layouts) == {expected}, precision
        assert model.asked == expected, "a network of one's own is tried for it, which a validation need not do"
        assert all(weight.is_contiguous() for weight in model.parameters())
        layouts.clear()


def test_a_run_with_a_layout_of_its_own_resumes_to_the_same_bits(tmp_path: Path) -> None:
    model = require_resumption(convolutional(nn.ReLU(), nn.Conv2d(4, 4, (1, 3), padding=(0, 1))), "auto", tmp_path)
    assert all(weight.is_contiguous() for weight in model.parameters())


@pytest.mark.parametrize(
    "model, on_cpu, on_cuda",
    [
        (convolutional(), True, True),
        (convolutional(groups=2), True, False),
        (convolutional(nn.GroupNorm(2, 4)), False, False),
        (convolutional(kind=nn.Sequential), False, False),
        (Willing(tiny_net()), False, False),
    ],
)
def test_the_rule_of_the_layout(model: nn.Module, on_cpu: bool, on_cuda: bool) -> None:
    assert precision_module.gains_by_channels_last(model, CPU) == on_cpu
    for mixed in ("bf16", "fp16"):
        assert precision_module.gains_by_channels_last(model, torch.device("cuda"), mixed) == on_cuda
    assert not precision_module.gains_by_channels_last(model, torch.device("cuda"), "fp32")
    assert not any(
        precision_module.gains_by_channels_last(model, torch.device("mps"), name) for name in ("fp32", "fp16")
    )


@pytest.mark.parametrize(
    "model, expected",
    [
        (convolutional(), "bf16"),
        (convolutional(groups=2), "fp32"),
        (convolutional(nn.Conv2d(4, 8, 3, padding=1, groups=4)), "fp32"),
        (convolutional(nn.Conv2d(4, 8, 3, padding=1, groups=2)), "bf16"),
        (convolutional(nn.Conv2d(4, 4, 3, padding=1, groups=2), groups=2), "bf16"),
        (convolutional(nn.Conv2d(4, 1, 1), nn.Conv2d(1, 4, 1)), "bf16"),
        (tiny_net(), "bf16"),
    ],
)
def test_auto_computes_depthwise_convolutions_in_fp32_on_cpus(
    monkeypatch: pytest.MonkeyPatch, model: nn.Module, expected: str
) -> None:
    monkeypatch.setattr(precision_module, "_native_bf16", lambda device: True)
    assert effective_precision("auto", CPU, model) == expected
    assert effective_precision("auto", torch.device("cuda"), model) == "bf16"
    assert effective_precision("bf16", CPU, model) == "bf16"
    monkeypatch.setattr(precision_module, "_native_bf16", lambda device: False)
    assert effective_precision("auto", CPU, model) == "fp32"


@pytest.mark.parametrize(
    "extra, in_fp32, in_bf16",
    [
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), True, False),
        (nn.Conv2d(4, 4, 1, stride=2), False, False),
        (nn.Conv2d(4, 8, 1), True, True),
        (nn.Conv2d(4, 4, 1, stride=2, groups=2), True, True),
        (nn.Conv2d(16, 8, 1, stride=(1, 2)), True, True),
        (nn.Conv2d(15, 8, 1, stride=(1, 2)), False, False),
        (nn.Conv2d(4, 4, 3, stride=2), True, True),
    ],
)
def test_what_a_cpu_miscomputes_channels_last_is_left_as_it_is(extra: nn.Module, in_fp32: bool, in_bf16: bool) -> None:
    for precision, expected in (("fp32", in_fp32), ("bf16", in_bf16)):
        assert resolve_precision(precision, CPU, convolutional(extra)).channels_last == expected
    on_cuda = precision_module.gains_by_channels_last(convolutional(extra), torch.device("cuda"), "bf16")
    assert on_cuda == (getattr(extra, "groups", 1) == 1)


# ---- what is left as it was, and what is explained


def test_the_global_generators_stay_where_they_are_whatever_the_mode():
    model = tiny_net()
    before = random_state(CPU)
    with torch.no_grad():
        history = quiet_trainer(with_changes(epoch=1)).fit(model, Points())
    assert history.status == "ok"
    after = random_state(CPU)
    assert torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
    assert torch.equal(before["numpy"][1], after["numpy"][1]) and before["numpy"][2:] == after["numpy"][2:]


def test_a_batch_of_one_image_before_a_batch_norm_is_explained():
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(UserError, match="a batch holds a single image.*13 images make 4 batches.*--batch_size"):
        quiet_trainer(with_changes(epoch=1)).fit(model, Points(count=13))


# ---- divergence and memory


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("reads", [1, 50])
def test_divergence_stops_at_its_step_with_the_last_good_weights(
    value: float, reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(epoch: int, batch: int) -> None:
        if (epoch, batch) == (2, 1):
            points.x.fill_(value)

    points, model, good = Points(visit=spoil), tiny_net(), tiny_net()
    prepare = TrainingRun.__post_init__

    def prepare_as_on_an_accelerator(run: TrainingRun) -> None:
        prepare(run)
        run.steps_between_reads = reads

    monkeypatch.setattr(TrainingRun, "__post_init__", prepare_as_on_an_accelerator)
    history = quiet_trainer(log_path=tmp_path / "log").fit(model, points)
    assert (history.status, history.diverged_at) == ("diverged", (3, 2))
    assert len(history.records) == 3
    with pytest.raises(Interrupted):
        quiet_trainer().fit(good, Points(visit=stop_at((1, 2))))
    assert all(map(torch.equal, model.state_dict().values(), good.state_dict().values()))
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (last["event"], last["epoch"], last["step"]) == ("diverged", 2, 2)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """The loss of the last step is finite, its gradient is not."""

    steps = iter(range(1, 100))

    def step(model: nn.Module, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
        loss, logits = cross_entropy_step(model, x, y)
        steepness = 1e38 if next(steps) == 6 else 1.0
        return loss.detach() + (loss - loss.detach()) * steepness * steepness, logits

    model = tiny_net()
    history = quiet_trainer(state_path=tmp_path / "net.state", step=step).fit(model, Points())
    assert (history.status, history.diverged_at) == ("diverged", (2, 3))
    saved = load_checkpoint(tmp_path / "net.state")["state"]
    assert saved["epoch"] == 1
    assert all(torch.isfinite(weight).all() for weight in saved["model"].values())
    assert all(torch.isfinite(weight).all() for weight in model.state_dict().values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_out_of_memory_names_the_batch_size(error: Exception) -> None:
    def step(*_: Any) -> Any:
        raise error

    says = (
        r"out of memory on cpu with batches of 4, \d+\.\d GiB held at the most: use .* --batch_size, or --microbatch "
    )
    with pytest.raises(UserError, match=says + "2$"):
        quiet_trainer(step=step).fit(tiny_net(), Points())
    with pytest.raises(UserError, match=says + "1$"):
        quiet_trainer(with_changes(microbatch=3), step=step).fit(tiny_net(), Points())


def test_other_errors_stay_themselves() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        quiet_trainer().fit(nn.Linear(5, 3), Points())


def test_running_mean_against_a_plain_mean() -> None:
    mean, losses = RunningMean(), [0.5, 2.0, 1.0]
    for loss, count in zip(losses, (4, 4, 2), strict=True):
        mean.add(torch.tensor(loss), torch.tensor(1), count)
    assert mean.count == 0
    assert mean.drain() is None and mean.drain() is None
    assert (mean.loss, mean.accuracy, mean.count) == ((0.5 * 4 + 2.0 * 4 + 1.0 * 2) / 10, 3 / 10, 10)
    for loss in (1.0, math.nan, 1.0, math.inf):
        mean.add(torch.tensor(loss), torch.tensor(1), 1)
    assert mean.drain() == 3


def test_training_outside_the_main_thread_installs_no_handlers() -> None:
    ends: list[Any] = []
    thread = threading.Thread(target=lambda: ends.append(quiet_trainer().fit(tiny_net(), Points())))
    thread.start()
    thread.join()
    assert ends[0].status == "ok"


# ---- log


def log_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_has_a_line_for_everything(tmp_path: Path) -> None:
    history = quiet_trainer(log_path=tmp_path / "a" / "log.jsonl", identity={"model": "tiny"}).fit(
        tiny_net(), Points(), Points(seed=5)
    )
    lines = log_lines(tmp_path / "a" / "log.jsonl")
    expected = "start validation epoch validation epoch epoch validation epoch validation epoch end"
    assert [line["event"] for line in lines] == expected.split()
    assert lines[0]["settings"]["lr"] == 0.1 and lines[0]["settings"]["model"] == "tiny"
    assert lines[0]["precision"] == "fp32"
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["train_loss"] for line in epochs] == [record.train_loss for record in history.records[1:]]


def test_a_resumed_log_has_nothing_twice_and_no_torn_line(tmp_path: Path) -> None:
    log, state = tmp_path / "log.jsonl", tmp_path / "net.state"
    with pytest.raises(Interrupted):
        quiet_trainer(log_path=log, state_path=state).fit(tiny_net(), Points(visit=stop_at((2, 1))), Points(seed=5))
    with open(log, "a") as file:
        file.write('{"event": "epoch", "epoch": 3, "step": 0}\n{"event": "epoch", "epo')
    quiet_trainer(with_changes(resume=True), log_path=log, state_path=state).fit(tiny_net(), Points(), Points(seed=5))
    lines = log_lines(log)
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3, 4, 5]
    assert [line["epoch"] for line in lines if line["event"] == "validation"] == [0, 2, 4, 5]
    assert [line["event"] for line in lines].count("resume") == 1


def test_a_fresh_run_begins_a_fresh_log_and_figures_are_json(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"event": "start", "epoch": 0, "step": 0}\n')
    log = TrainingLog(path)
    log.begin(0, 0)
    log.write("epoch", 1, loss=math.nan, nested={"x": math.inf})
    assert log_lines(path) == [{"event": "epoch", "epoch": 1, "step": 0, "loss": None, "nested": {"x": None}}]


def test_tensorboard_writes_curves(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    quiet_trainer(with_changes(tensorboard=True), log_path=tmp_path / "run.jsonl").fit(
        tiny_net(), Points(), Points(seed=5)
    )
    events = accumulator.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [point.step for point in events.Scalars("epoch/train_loss")] == [1, 2, 3, 4, 5]
    assert [point.step for point in events.Scalars("validation/accuracy")] == [0, 2, 4, 5]


def test_curves_go_on_where_the_run_does_and_a_fresh_run_has_none_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard forgets what stands in the folder from the step on that is called ``purge_step``."""
    purged: list[int] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            purged.append(purge_step)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            steps.append(step)

        def close(self) -> None:
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    places: dict[str, Any] = {"log_path": tmp_path / "log.jsonl", "state_path": tmp_path / "net.state"}
    steps: list[int] = []
    with pytest.raises(Interrupted):
        quiet_trainer(with_changes(tensorboard=True), **places).fit(tiny_net(), Points(visit=stop_at((2, 1))))
    assert (purged, steps[-1]) == ([0], 2)
    steps.clear()
    quiet_trainer(with_changes(tensorboard=True, resume=True), **places).fit(tiny_net(), Points())
    assert (purged, steps[0]) == ([0, 3], 3)


def test_tensorboard_that_is_not_installed_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if "tensorboard" in name:
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"autovul\[tensorboard\]"):
        quiet_trainer(with_changes(tensorboard=True, log_dir=str(tmp_path))).fit(tiny_net(), Points())


# ---- display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    quiet_trainer(progress=Progress(stream=stream)).fit(tiny_net(), Points(), Points(seed=5))
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["0/5", "2/5", "4/5", "5/5"]
    assert "\r" not in stream.getvalue()
    assert all(word in lines[1] for word in ("loss", "accuracy", "samples/s", "validation"))


def test_a_slow_epoch_shows_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    progress = Progress("lines", stream)
    progress.start(total=100, done=40)
    for _ in range(25):
        now[0] += 1.0
        progress.advance("epoch 1/2", loss="0.5")
    assert stream.getvalue().splitlines() == ["epoch 1/2  loss 0.5  0:00:49 left", "epoch 1/2  loss 0.5  0:00:38 left"]


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    quiet_trainer(progress=Progress(stream=stream)).fit(tiny_net(), Points(), Points(seed=5))
    assert all(text in stream.getvalue() for text in ("epoch 5/5", "15/15", "validation", "\r"))


def test_a_bar_goes_on_from_the_steps_made_before_with_figures_beside_it_and_lines_above() -> None:
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.start(total=15, done=6)
    progress.advance("epoch 3/5", loss="0.51")
    progress.say("validation 97.5 %")
    progress.close()
    above, bar, below = (written.rsplit("\r", 1)[-1] for written in stream.getvalue().split("\n"))
    assert (above, below) == ("validation 97.5 %", "")
    assert bar.startswith("epoch 3/5:") and " 7/15 " in bar and "loss=0.51" in bar


def test_silence_when_off() -> None:
    stream = Terminal()
    quiet_trainer(progress=Progress("off", stream)).fit(tiny_net(), Points(), Points(seed=5))
    assert stream.getvalue() == ""


def test_the_speed_is_that_of_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that a training batch moves by one second and a validation batch by a thousand."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def takes(seconds: float) -> Any:
        def visit(epoch: int, batch: int) -> None:
            now[0] += seconds

        return visit

    train, valid = Points(visit=takes(1)), Points(seed=5, visit=takes(1000))
    history = quiet_trainer(with_changes(epoch=2, validate_interval=1)).fit(tiny_net(), train, valid)
    for record in history.records[1:]:
        assert record.seconds == len(train)
        assert record.samples_per_second == train.num_samples / len(train)


def test_clock() -> None:
    assert [clock(0), clock(59.6), clock(3723)] == ["0:00:00", "0:01:00", "1:02:03"]


def test_batches_that_are_none_are_refused() -> None:
    points = [*Points(4).epoch(0)]
    with pytest.raises(TypeError, match=r"train must give batches by number .*train_batches gives them; got list"):
        quiet_trainer(OPTIONS).fit(tiny_net(), points)
    with pytest.raises(TypeError, match=r"valid must .*valid_batches gives them; got list"):
        quiet_trainer(OPTIONS).fit(tiny_net(), Points(4), points)
