"""Nothing in a training step or in a step of an attack makes the host wait for the device.

`tests/vision/test_pretended_device.py` counts waits where there is no device; here PyTorch itself reports them.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autovul.base.trainer import TrainingOptions
from autovul.base.training.evaluation import evaluate_pairs
from autovul.vision import attacks
from autovul.vision.adversarial_training import AdversarialTrainingOptions, adversarial
from autovul.vision.attacks.backdoor.batches import PoisonedBatches
from autovul.vision.attacks.backdoor.losses import PoisonStep
from autovul.vision.attacks.poisoning.labels import FreshlyPoisonedBatches
from autovul.vision.datasets import Augmentation, ImageBatches
from tests.cuda.small import Watched, forbid_waits, needs, quiet, there
from tests.vision.attacks import backdoors, patches

pytestmark = pytest.mark.cuda
VARIED = Augmentation(padding=1, flip=True, cutout_length=2)


def train(device, batches, step=None, **options):
    """24 steps, of which all but the first are watched."""
    watched = Watched(batches, device)
    recipe = TrainingOptions(**{"epoch": 1, "lr": 0.01, "grad_clip": 5.0, "label_smoothing": 0.1, **options})
    history = quiet(recipe, device, step=step).fit(there(patches.make_network(), device), watched)
    assert (history.status, watched.seen) == ("ok", 24)


def test_what_waits_is_an_error(device):
    """The check itself."""
    if device.type == "cpu":
        return
    number = torch.ones((), device=device)
    forbid_waits(device)
    with pytest.raises(RuntimeError, match="synchronizing"):
        number.item()
    forbid_waits(device, False)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimiser", ["SGD", "AdamW"])
def test_plain_training(device, dataset, precision, optimiser):
    needs(precision, device)
    batches = dataset.train_batches(5, device, 1, VARIED)
    train(device, batches, precision=precision, OptimType=optimiser, one_cycle=0.3)


def test_training_in_parts(device, dataset):
    train(device, dataset.train_batches(5, device, 1), microbatch=2)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("form", ["pgd", "free", "trades"])
def test_adversarial_training(device, dataset, form, precision):
    options = AdversarialTrainingOptions(adv_train=form, adv_train_iter=2, adv_train_random_init=form == "pgd")
    size = 10 if form == "free" else 5  # each batch comes twice
    step, batches = adversarial(options, dataset.train_batches(size, device, 1, VARIED))
    train(device, batches, step, precision=precision)


def test_wrong_labels(device, dataset):
    train(device, FreshlyPoisonedBatches(dataset.train_batches(5, device, 1), dataset.num_classes, 0.5, seed=2))


@pytest.mark.parametrize("mode", ["batch", "loss"])
@pytest.mark.parametrize("random_pos", [True, False])
def test_triggers(device, dataset, mode, random_pos):
    trigger = backdoors.trigger(random_pos=random_pos).to(device)
    batches = PoisonedBatches(dataset, trigger, 1, 0.5, mode, 5, device, seed=2, augment=VARIED)
    train(device, batches, PoisonStep(batches, 0.5 if mode == "loss" else None, 0.4))


def test_batches_from_the_host(device, dataset):
    split = dataset.train
    train(device, ImageBatches(split.images, split.labels, 5, device, seed=1, augment=VARIED, resident=False))


@pytest.mark.xfail(reason="torchvision's affine makes its matrix on the host and sends it", strict=False)
def test_auto_augment(device, dataset):
    train(device, dataset.train_batches(5, device, 1, Augmentation(padding=1, auto_augment=True)))


def test_evaluation(device, trained, dataset):
    watched = Watched(dataset.valid_batches(5, device), device)
    assert evaluate_pairs(there(trained, device), watched.epoch(0)).count == watched.num_samples


@pytest.mark.parametrize("options", [{}, {"norm": "2"}, {"target_idx": 0}])
def test_steps_of_an_attack_without_a_stop(device, dataset, trained, options):
    model, calls = there(trained, device), []

    def count(module: nn.Module, inputs: object) -> None:
        calls.append(1)
        forbid_waits(device, 2 <= len(calls) < 20)

    model.register_forward_pre_hook(count)
    images = dataset.valid.pixels(slice(0, 6)).to(device)
    attack = attacks.create("pgd", iteration=20, stop_threshold=None, **options)
    attack.perturb(model, images, torch.zeros(6, dtype=torch.int64, device=device))
    assert len(calls) == 20
