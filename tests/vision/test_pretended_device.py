"""Everything that computes, on a pretended CUDA device: nothing mixes devices, and the figures are those of the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from autovul.base.progress import Progress
from autovul.base.result import Result
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import attacks, models
from autovul.vision.adversarial_training import AdversarialTrainingOptions, adversarial
from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.base import Attack, Setup
from autovul.vision.attacks.extraction.native_thief import thief_seed
from autovul.vision.attacks.poisoning.labels import FreshlyPoisonedBatches
from autovul.vision.datasets import Augmentation, ImageBatches, ImageDataset, ImageSplit
from autovul.vision.tools import gradient_variance, loss_contour
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from tests.pretended import CUDA, pretended_device
from tests.vision.attacks import backdoors, patches
from tests.vision.attacks.small import OPTIONS


@pytest.fixture
def device(monkeypatch):
    with pretended_device(monkeypatch) as device:
        yield device


def there(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to(CUDA)


def test_what_cuda_refuses_is_refused(device):
    here, far = torch.arange(3.0), torch.arange(3.0, device="cuda")
    assert (far.device, far.is_cuda, (far * 2).device, far.cpu().device) == (CUDA, True, CUDA, torch.device("cpu"))
    assert torch.zeros_like(far).is_cuda
    assert far.topk(2).indices.is_cuda
    assert not torch.zeros(3, device=here.device).is_cuda
    with pytest.raises(RuntimeError, match="same device"):
        far + here
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([far, here])
    with pytest.raises(RuntimeError, match="indices"):
        here[far.long()]
    with pytest.raises(TypeError, match="numpy"):
        far.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(2, device="cuda", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="same device"):
        nn.Linear(3, 2).to("cuda")(here)
    assert far[here.long()].is_cuda
    assert (far + torch.tensor(1.0)).is_cuda
    assert nn.Linear(3, 2).to("cuda")(far).is_cuda


def test_what_waits_is_counted(device):
    far = torch.arange(3.0, device="cuda")
    torch.arange(3.0).pin_memory().to("cuda", non_blocking=True)
    assert not device.waits
    assert far.sum().item() == 3
    assert bool((far < 5).all())
    far[far > 1], far.cpu(), far.to("cpu")
    assert device.waits.total() == 5
    torch.arange(3.0).to("cuda"), torch.arange(3).to(far), torch.tensor([1, 2], device="cuda")  # memory is not pinned
    assert device.waits.total() == 8


def figures(result: Result) -> dict[str, float]:
    """Metrics and series, but for times."""
    found = {name: metric.value for name, metric in result.metrics.items()}
    for number, row in enumerate(result.series):
        found |= {f"{number}, {name}": value for name, value in row.items()}
    timed = ("seconds", "per_second")
    return {n: v for n, v in found.items() if isinstance(v, int | float) and not n.endswith(timed)}


def agree(attack: Attack, model: nn.Module, dataset: ImageDataset, setup: Setup) -> None:
    """The attack finds on the device what it finds on the CPU, up to rounding (optimisers are fused there)."""
    expected = attack.run(copy.deepcopy(model), dataset, setup)
    found = attack.run(there(model), dataset, setup)
    assert found.status == "ok"
    assert len(figures(found)) > 2
    assert figures(found) == pytest.approx(figures(expected), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", attacks.list())
def test_every_attack(device, dataset, trained, name):
    agree(attacks.create(name, **OPTIONS[name]), trained, dataset, patches.setup())


def test_images_on_the_device_are_refused_at_once(device, dataset):
    with pytest.raises(ValueError, match="images must be on the CPU .* got cuda:0"):
        ImageSplit(dataset.train.images.to(CUDA), dataset.train.labels)


def test_every_thief_begins_alike_wherever_the_victim_lies(device, trained, monkeypatch):
    """A copy draws its weights on the victim's device, from that device's generator."""
    knockoff, states = attacks.create("knockoff"), []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: states.append(seed))
    knockoff._fresh(there(trained), None, 5)
    assert states == [thief_seed(5)], "of all devices at once"


@pytest.mark.parametrize("estimator", ["nes", "sgd", "hess", "zoo"])
def test_black_box_estimators(device, dataset, trained, estimator):
    attack = attacks.create("pgd", test_num=4, iteration=2, query_num=12, grad_method=estimator)
    agree(attack, trained, dataset, patches.setup())


@pytest.mark.parametrize("mode", ["dataset", "loss"])
def test_modes_of_a_backdoor(device, dataset, trained, mode):
    agree(backdoors.create("badnet", train_mode=mode, random_pos=True), trained, dataset, backdoors.setup())


@pytest.mark.parametrize("method", ["layers", "loop"])
@pytest.mark.parametrize("name", ["vgg13_bn_comp", "darts", "bit_comp"])
def test_gradient_variance(device, name, method):
    small = {"layers": 3, "init_channels": 4} if name == "darts" else {"width": 0.0625}
    model = models.create(name, **small)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # see `pretended`
    model.double()  # bit_comp rounds by 1e-4 in single precision, by any method
    images, labels = torch.rand(4, 3, 32, 32, dtype=torch.float64), torch.arange(4)
    expected = gradient_variance(model, images, labels, method=method)
    found = gradient_variance(there(model), images.to(CUDA), labels.to(CUDA), method=method)
    assert found.total == pytest.approx(expected.total, rel=1e-9)  # products are chosen by the device


def test_estimated_norm_statistics(device, dataset, trained):
    measurement = GradientMeasurement(sample_num=8, norm_statistics="batch", statistics_num=64)
    expected, found = (measurement.run(model, dataset) for model in (copy.deepcopy(trained), there(trained)))
    assert figures(found) == pytest.approx(figures(expected), rel=1e-4)


@pytest.mark.parametrize("space", ["parameter", "input"])
def test_loss_contours(device, dataset, trained, space):
    images, labels = dataset.valid.pixels(slice(0, 10)), dataset.valid.labels[:10]
    options = {"alphas": [-0.2, 0.0, 0.2], "betas": [0.0, 0.1]}
    expected = loss_contour(copy.deepcopy(trained), images, labels, space, **options)
    found = loss_contour(there(trained), images.to(CUDA), labels.to(CUDA), space, **options)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", [None, "pgd", "free", "trades"])
def test_a_training_step_never_waits(device, dataset, form):
    """An epoch four times as long waits as often."""
    waits = []
    for batch_size in (40, 10):
        augmentation = Augmentation(padding=1, flip=True, cutout_length=2)
        batches = dataset.train_batches(batch_size, CUDA, 1, augmentation)
        step, batches = adversarial(AdversarialTrainingOptions(adv_train=form, adv_train_iter=2), batches)
        options = TrainingOptions(epoch=2, lr_scheduler=True, label_smoothing=0.1, precision="bf16")
        before = device.waits.total()
        Trainer(options, device="cuda", seed=1, step=step).fit(there(patches.make_network()), batches)
        waits.append(device.waits.total() - before)
    assert waits[0] == waits[1]


def with_wrong_labels(dataset, batch_size):
    return FreshlyPoisonedBatches(dataset.train_batches(batch_size, CUDA, 1), dataset.num_classes, 0.5, seed=2)


def with_triggers(dataset, batch_size):
    trigger = backdoors.trigger(random_pos=True).to(CUDA)
    return PoisonedBatches(dataset, trigger, 1, 0.5, "loss", batch_size, CUDA, seed=2, augment=None)


def from_the_host(dataset, batch_size):
    return ImageBatches(dataset.train.images, dataset.train.labels, batch_size, CUDA, seed=1, resident=False)


@pytest.mark.parametrize("batches", [with_wrong_labels, with_triggers, from_the_host])
def test_a_batch_is_made_without_waiting(device, dataset, batches):
    waits = []
    for batch_size in (40, 10):
        made, before = batches(dataset, batch_size), device.waits.total()
        assert len([*made.epoch(0)]) == 120 // batch_size
        waits.append(device.waits.total() - before)
    assert waits[0] == waits[1]


def test_steps_without_a_stop_never_wait(device, dataset, trained):
    model, images = there(trained), dataset.valid.pixels(slice(0, 6)).to(CUDA)
    waits = []
    for iteration in (2, 9):
        before = device.waits.total()
        attack = attacks.create("pgd", iteration=iteration, stop_threshold=None)
        attack.perturb(model, images, torch.zeros(6, dtype=torch.int64, device=CUDA))
        waits.append(device.waits.total() - before)
    assert waits[0] == waits[1]


def test_nothing_is_shown_that_has_not_been_read(device, dataset):
    """Losses are read from the device now and then only; before, the display has none, and not NaN."""
    shown = []

    class Display(Progress):
        def advance(self, title, **figures):
            shown.append(figures)

    trainer = Trainer(TrainingOptions(epoch=1), device="cuda", seed=1, progress=Display("off"))
    trainer.fit(there(patches.make_network()), dataset.train_batches(10, CUDA, 1))
    assert len(shown) == 12
    assert not any("nan" in figure for figures in shown for figure in figures.values())
