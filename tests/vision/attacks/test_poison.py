"""Poisoning: which labels are wrong, and what that costs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autovul.base.checkpoint import load_state
from autovul.base.environ import seed_everything
from autovul.base.options import OptionError
from autovul.base.result import Result
from autovul.base.sweep.subject import key_of_record
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import attacks, datasets, models
from autovul.vision.attacks.poisoning.labels import FreshlyPoisonedBatches, LabelPoison, wrong_labels
from autovul.vision.datasets import ImageDataset, ImageSplit
from autovul.vision.models.fresh import fresh
from autovul.vision.planning import Planning
from tests.vision.attacks.patches import PLAIN, RECIPE, make_network, setup, value

# Labels


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 300),
    classes=st.integers(2, 12),
    percent=st.integers(0, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_exactly_the_floor_of_n_p_labels_are_wrong_and_all_others_as_they_were(count, classes, percent, seed):
    labels = torch.arange(count) % classes
    split = ImageSplit(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), labels)
    dataset = ImageDataset("toy", [str(c) for c in range(classes)], split, split, (0.0,), (1.0,))
    poison = LabelPoison.draw(dataset, percent / 100, seed)
    changed = (poison.apply(dataset).train.labels != labels).nonzero().squeeze(1)
    assert len(changed) == len(poison.indices) == count * percent // 100
    assert torch.equal(changed, poison.indices.sort().values)
    assert torch.equal(poison.original, labels[poison.indices])
    assert bool(((poison.labels >= 0) & (poison.labels < classes)).all())
    assert torch.equal(dataset.train.labels, torch.arange(count) % classes)


def test_wrong_labels_are_uniform_over_the_other_classes():
    classes, each = 5, 4000
    labels = torch.arange(classes).repeat_interleave(each)
    wrong = wrong_labels(labels, classes, torch.Generator().manual_seed(0))
    table = torch.zeros(classes, classes)
    for label, given_label in zip(labels.tolist(), wrong.tolist(), strict=True):
        table[label, given_label] += 1
    assert not table.diag().any()
    expected = each / (classes - 1)
    chi_square = ((table - expected) ** 2 / expected)[~torch.eye(classes, dtype=torch.bool)].sum().item()
    assert chi_square < 15 + 5 * math.sqrt(2 * 15)  # 15 degrees of freedom


def test_a_smaller_fraction_is_part_of_a_larger_one(dataset):
    small, large = (LabelPoison.draw(dataset, fraction, 7) for fraction in (0.1, 0.5))
    assert torch.equal(small.indices, large.indices[: len(small.indices)])
    assert torch.equal(small.labels, large.labels[: len(small.labels)])
    assert not torch.equal(small.indices, LabelPoison.draw(dataset, 0.1, 8).indices)


def test_the_subset_is_the_protocols(dataset):
    order = np.arange(len(dataset.train))
    np.random.RandomState(1228).shuffle(order)
    assert LabelPoison.draw(dataset, 0.29, 1228).indices.tolist() == order[: 120 * 29 // 100].tolist()


@pytest.mark.parametrize("fraction, size", [(0.1, 20), (0.05, 7), (0.033, 20), (0.4, 1), (1.0, 20)])
def test_in_batch_mode_every_epoch_has_the_exact_count_and_other_labels(dataset, fraction, size):
    clean = dataset.train_batches(size, "cpu", 3, PLAIN)
    batches = FreshlyPoisonedBatches(clean, 3, fraction, 3)
    seen = []
    for epoch in (0, 1):
        flips = []
        for (x, y), (x_clean, y_clean) in zip(batches.epoch(epoch), clean.epoch(epoch), strict=True):
            assert torch.equal(x, x_clean)
            assert abs(int((y != y_clean).sum()) - fraction * len(y)) < 1 + 1e-9
            flips.append(((y - y_clean) % 3).tolist())
        assert sum(map(bool, sum(flips, []))) == int(len(dataset.train) * fraction + 1e-9)
        seen.append(flips)
    assert seen[0] != seen[1]
    later = [y.tolist() for _, y in batches.epoch(1, start=2)]
    assert later == [y.tolist() for _, y in batches.epoch(1)][2:]


# poison_random


@pytest.mark.parametrize("mode", ["batch", "dataset"])
def test_fraction_0_is_plain_training(dataset, mode, tmp_path):
    given_network = make_network()
    seed_everything(4)
    network = fresh(given_network)
    history = Trainer(RECIPE, device="cpu", seed=4).fit(
        network, dataset.train_batches(20, "cpu", 4, PLAIN), dataset.valid_batches(20)
    )
    attack = attacks.create("poison_random", train_mode=mode, poison_percent=0)
    result = attack.run(make_network(seed=9), dataset, setup(seed=4, folder=tmp_path))
    assert value(result, "clean_accuracy") == 100 * history.last_accuracy
    saved = load_state(tmp_path / "poisoned_0pct.pth")
    assert all(torch.equal(saved[key], tensor) for key, tensor in network.state_dict().items())


def test_fractions_in_one_run_are_the_runs_one_by_one_and_more_poison_costs_more(dataset, tmp_path):
    long = setup(training=TrainingOptions(epoch=8, lr=0.1, validate_interval=8))
    options = {"train_mode": "dataset"}
    fractions = (0.0, 0.3, 0.6)
    together = attacks.create("poison_random", poison_percent=fractions, **options).run(make_network(), dataset, long)
    alone = {
        fraction: value(
            attacks.create("poison_random", poison_percent=fraction, **options).run(make_network(), dataset, long),
            "clean_accuracy",
        )
        for fraction in fractions
    }
    assert [value(together, f"clean_accuracy_{name}") for name in ("0pct", "30pct", "60pct")] == [*alone.values()]
    drops = [alone[0.0] - alone[fraction] for fraction in (0.3, 0.6)]
    assert [value(together, f"accuracy_drop_{name}") for name in ("30pct", "60pct")] == pytest.approx(drops)
    assert value(together, "accuracy_drop") == pytest.approx(sum(drops) / 2)
    assert 0 < drops[0] < drops[1]
    wrong = {"wrong_labels_0pct": 0, "wrong_labels_30pct": 36, "wrong_labels_60pct": 72}
    steps, trained = 3 * 8 * -(-120 // long.batch_size), 3 * 8 * 120
    validated = 3 * 2 * len(dataset.valid)  # before the first epoch and after the last
    passes = {"steps": steps, "forward": trained + validated, "backward": trained}
    assert together.counts == {"training_images": 120, **wrong, **passes}
    assert Result.from_json(together.to_json()) == together.replace(
        options=json.loads(json.dumps(dict(together.options)))
    )


def test_what_was_poisoned_is_recorded_and_exported(dataset, tmp_path):
    folder = tmp_path / "image" / "poisoned"
    attack = attacks.create(
        "poison_random", train_mode="dataset", poison_percent=0.25, export_poisoned=folder / "poisoned.npz"
    )
    attack.run(make_network(), dataset, setup(folder=tmp_path, log_folder=tmp_path / "logs"))
    assert [*tmp_path.rglob("*.jsonl")] == [*(tmp_path / "logs").iterdir()] != []
    record = json.loads((tmp_path / "poisoned_25pct.json").read_text())
    assert record["count"] == len(record["indices"]) == len(set(record["indices"])) == 30
    assert dataset.train.labels[record["indices"]].tolist() == record["original_labels"]
    again = datasets.create("poisoned", data_dir=str(tmp_path))
    assert torch.equal(again.train.images, dataset.train.images)
    assert torch.equal(again.valid.labels, dataset.valid.labels)
    assert again.class_names == dataset.class_names and again.flip is dataset.flip is False
    assert again.train.labels[record["indices"]].tolist() == record["labels"]
    assert int((again.train.labels != dataset.train.labels).sum()) == 30


def test_the_given_model_is_not_touched(dataset):
    model = make_network().train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    attacks.create("poison_random", poison_percent=0.5).run(model, dataset, setup())
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_killed_run_goes_on_where_it_was(dataset, tmp_path, monkeypatch):
    attack = attacks.create("poison_random", poison_percent=(0, 0.4), train_mode="batch")
    whole = attack.run(make_network(), dataset, setup(folder=tmp_path / "whole"))
    monkeypatch.setattr("autovul.base.training.state_file.LARGEST_SHARE", 1e9)  # save after every epoch
    original = FreshlyPoisonedBatches.epoch

    def dies(self, epoch, start=0):
        if self.fraction and epoch == 2:
            raise KeyboardInterrupt
        return original(self, epoch, start)

    monkeypatch.setattr(FreshlyPoisonedBatches, "epoch", dies)
    resuming = setup(folder=tmp_path / "killed", training=RECIPE.model_copy(update={"resume": True}))
    with pytest.raises(KeyboardInterrupt):
        attack.run(make_network(), dataset, resuming)
    monkeypatch.setattr(FreshlyPoisonedBatches, "epoch", original)
    resumed = attack.run(make_network(), dataset, resuming)
    assert (resumed.metrics, resumed.counts) == (whole.metrics, whole.counts)
    for name in ("poisoned_0pct.pth", "poisoned_40pct.pth"):
        first, second = (load_state(tmp_path / run / name) for run in ("whole", "killed"))
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not [*(tmp_path / "killed").glob("*.state")]


def test_a_diverged_training_gives_no_figure(dataset):
    attack = attacks.create("poison_random", poison_percent=(0, 0.4))
    result = attack.run(make_network(), dataset, setup(training=TrainingOptions(epoch=2, lr=1e30)))
    assert result.status == "diverged"
    assert "fraction 0.0, 0.4 diverged" in result.message
    assert not result.metrics


@pytest.mark.parametrize(
    "options, message",
    [
        ({"poison_percent": 1.5}, "poison_percent"),
        ({"poison_percent": (0.1, -0.1)}, "poison_percent"),
        ({"poison_percent": (0.1, 0.1)}, "several different ones, got 0.1,0.1"),
        ({"poison_percent": ()}, "must be one fraction"),
        ({"export_poisoned": "file.npz"}, "export_poisoned"),
        ({"poison_percent": (0.0,), "train_mode": "dataset"}, None),
    ],
)
def test_options_that_cannot_be_meant(options, message):
    if message is None:
        attacks.create("poison_random", **options)
        return
    with pytest.raises(OptionError, match=message):
        attacks.create("poison_random", **options)


def test_more_options_that_cannot_be_meant(dataset, tmp_path):
    path = tmp_path / "file.npz"
    with pytest.raises(OptionError, match="needs train_mode dataset"):
        attacks.create("poison_random", poison_percent=0.1, export_poisoned=path)
    with pytest.raises(OptionError, match="needs one fraction above 0"):
        attacks.create("poison_random", poison_percent=(0.1, 0.2), train_mode="dataset", export_poisoned=path)
    with pytest.raises(
        OptionError, match="0.001 of 120 training images rounds down to none; give 0, or at least 0.0084"
    ):
        attacks.create("poison_random", poison_percent=0.001).run(make_network(), dataset, setup())


# The command


def test_the_command(tmp_path, monkeypatch, capsys):
    from autovul.poison import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = "-d digits -m resnet18_comp --num_classes 2 --width 0.0625 --batch_size 64 --epoch 1 --no-tqdm"
    common = words.split()
    line = [*common, "--train_mode", "dataset", "--poison_percent", "0,0.4"]
    assert main(line) == 0
    assert "accuracy drop" in capsys.readouterr().out
    (path,) = (tmp_path / "data" / "result" / "poison").iterdir()
    result = Result.from_json(path.read_text())
    assert result.options["poison_percent"] == [0.0, 0.4]
    assert key_of_record(result) == Planning().subject(["poison", *line])[0].key, "a sweep finds it"
    assert result.counts["wrong_labels_40pct"] == len(datasets.create("digits", num_classes=2).train) * 4 // 10
    weights = tmp_path / "data" / "model" / "image" / "digits" / "resnet18_comp.pth"
    dataset = datasets.create("digits", num_classes=2)
    models.create("resnet18_comp", dataset=dataset, width=0.0625).save(weights)
    assert main([*common, "--attack", "poison_basic", "--test_num", "2"]) == 0
    assert "success rate" in capsys.readouterr().out
    assert main([*common, "--poison_percent", "0.0001"]) == 2
    assert "rounds down to none" in capsys.readouterr().err
    assert main([*common, "--attack", "poison_basic", "--neuron_num", "2"]) == 2
