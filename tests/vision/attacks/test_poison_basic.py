"""Targeted poisoning: one input that is to be misjudged."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from autovul.base.errors import UserError
from autovul.base.metrics import NonFiniteOutput
from autovul.base.options import OptionError
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import attacks
from autovul.vision.attacks.poisoning import poison_basic
from autovul.vision.attacks.poisoning.poison_basic import BatchesWithCopies
from tests.vision.attacks.patches import PLAIN, RECIPE, make_network, setup, value


def test_copies_join_every_batch(dataset):
    clean = dataset.train_batches(50, "cpu", 3, PLAIN)
    image = torch.full((3, 8, 8), 0.5)
    batches = BatchesWithCopies(clean, image, 2, 0.3)
    for (x, y), (x_clean, y_clean) in zip(batches.epoch(1), clean.epoch(1), strict=True):
        count = len(y_clean) * 3 // 10
        assert torch.equal(x, torch.cat([x_clean, torch.stack([image] * count)]))
        assert y.tolist() == [*y_clean.tolist(), *[2] * count]


def test_an_input_gets_its_wrong_label(dataset, trained):
    before = {key: tensor.clone() for key, tensor in trained.state_dict().items()}
    attack = attacks.create("poison_basic", test_num=6)
    recipe = TrainingOptions(epoch=3, lr=0.02)
    result = attack.run(trained, dataset, setup(training=recipe))
    assert len(result.series) == 6
    assert value(result, "success_rate") > 50
    assert value(result, "target_confidence_after") > value(result, "target_confidence_before") + 20
    assert value(result, "original_confidence_after") < value(result, "original_confidence_before")
    assert value(result, "clean_accuracy_before") > 90
    assert value(result, "accuracy_drop") == pytest.approx(
        value(result, "clean_accuracy_before") - value(result, "clean_accuracy")
    )
    assert all(torch.equal(tensor, before[key]) for key, tensor in trained.state_dict().items())
    assert attack.run(trained, dataset, setup(training=recipe)).metrics == result.metrics
    for row in result.series:
        assert row["target"] != row["label"]


def test_a_row_is_what_one_training_by_hand_gives(dataset, trained):
    recipe = TrainingOptions(epoch=1, lr=0.02)
    row = attacks.create("poison_basic", test_num=2).run(trained, dataset, setup(training=recipe)).series[1]
    split = dataset.attack_split()
    order = np.arange(len(split))
    np.random.RandomState(1228).shuffle(order)
    right = [i for i in order.tolist() if int(trained(split.pixels([i])).argmax()) == int(split.labels[i])]
    image = split.pixels([right[1]])
    target = int(trained(image)[0].argsort(descending=True)[1])
    network = copy.deepcopy(trained)
    batches = BatchesWithCopies(dataset.train_batches(20, "cpu", 1228, PLAIN), image[0], target, 0.5)
    Trainer(recipe, device="cpu", seed=1228).fit(network, batches)
    with torch.no_grad():
        after = network(image).softmax(1)[0]
    assert (row["label"], row["target"]) == (int(split.labels[right[1]]), target)
    assert row["target_confidence_after"] == pytest.approx(100 * after[target].item(), rel=1e-5)
    accuracy = (network(dataset.valid.pixels()).argmax(1) == dataset.valid.labels).double().mean().item()
    assert row["clean_accuracy"] == pytest.approx(100 * accuracy)


def test_inputs_that_are_not_there(dataset, trained):
    with pytest.raises(UserError, match=r"patches: 500 correctly classified images to poison asked for, \d+ there"):
        attacks.create("poison_basic", test_num=500).run(trained, dataset, setup())
    for rank in (0, 3, -3):
        with pytest.raises(OptionError, match="target_idx must be from 1 to 2, or from -2 to -1"):
            attacks.create("poison_basic", target_idx=rank).run(trained, dataset, setup())
    with pytest.raises(OptionError, match="rounds down to no copy"):
        attacks.create("poison_basic", poison_percent=0.01).run(trained, dataset, setup())
    for option, message in (("resume", "keeps no training state"), ("tensorboard", "writes no curves")):
        with pytest.raises(UserError, match=message):
            attacks.create("poison_basic").run(
                trained, dataset, setup(training=RECIPE.model_copy(update={option: True}))
            )


def test_an_auxiliary_head_keeps_its_weight(dataset, trained, monkeypatch):
    told = []

    class Noted(Trainer):
        def __init__(self, *args, **options):
            told.append(options["auxiliary_weight"])
            super().__init__(*args, **options)

    monkeypatch.setattr(poison_basic, "Trainer", Noted)
    network = copy.deepcopy(trained)
    network.auxiliary_weight = 0.1
    attacks.create("poison_basic", test_num=1).run(network, dataset, setup())
    assert told == [0.1]


def test_a_network_that_gives_nan_is_refused(dataset):
    network = make_network()
    torch.nn.init.constant_(network[-1].bias, float("nan"))
    with pytest.raises(NonFiniteOutput):
        attacks.create("poison_basic", test_num=1).run(network, dataset, setup())


def test_a_training_that_diverges_ends_the_run_and_leaves_the_rows_before_it(dataset, trained, monkeypatch):
    fits = []

    class Doomed(Trainer):
        def fit(self, model, *batches):
            history = super().fit(model, *batches)
            fits.append(history)
            if len(fits) == 3:
                history.status = "diverged"
            return history

    monkeypatch.setattr(poison_basic, "Trainer", Doomed)
    result = attacks.create("poison_basic", test_num=6).run(trained, dataset, setup())
    assert (result.status, result.message) == ("diverged", "the training for input 3 of 6 diverged")
    assert result.metrics == {} and [row["input"] for row in result.series] == [0, 1]
    counts = {name: result.counts[name] for name in ("inputs", "trainings", "steps")}
    assert counts == {"inputs": 6, "trainings": 2, "steps": 3 * fits[0].steps}
