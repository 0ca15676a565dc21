"""What a record from the library tells of network, data and recipe, so that runs are told apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autovul.base.checkpoint import digest
from autovul.base.report import build
from autovul.base.training.options import TrainingOptions
from autovul.vision import attacks
from autovul.vision.attacks.base import Setup, describe
from autovul.vision.datasets import Augmentation
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from autovul.vision.validation import validate
from tests.vision.attacks.patches import PLAIN, make_dataset, make_network

SHORT = TrainingOptions(epoch=1, lr=0.05)
MARK = {"mark_height": 1, "mark_width": 1}
TRAINING: dict[str, dict[str, Any]] = {
    "poison_random": {},
    "poison_basic": {"test_num": 2},
    "badnet": MARK,
    "knockoff": {"nb_stolen": 40},
}
ASKING: dict[str, dict[str, Any]] = {
    "pgd": {},
    "fmn": {"iteration": 3},
    "hop_skip_jump": {"max_queries": 50},
    "membership": {"method": "loss", "confidence_filter": "none"},
}


def run(name: str, model: nn.Module, dataset: Any, **setup: Any) -> Any:
    options = {**TRAINING, **ASKING}[name]
    given = {"training": SHORT, "batch_size": 20, "augmentation": PLAIN, **setup}
    return attacks.create(name, **options).run(model, dataset, Setup(**given))


@pytest.mark.parametrize("name", [*TRAINING, *ASKING])
def test_network_and_data_are_in_the_record_of_every_attack(name, dataset, trained):
    result = run(name, trained, dataset)
    assert result.data_sha256 == dataset.sha256
    assert result.weights_sha256 == digest(trained.state_dict())


def test_and_in_those_of_the_tools(dataset, trained):
    found = [validate(trained, dataset), GradientMeasurement().run(trained, dataset, prepared=True)]
    found.append(ContourMeasurement(points=3, sample_num=4).measure(trained, dataset)[1])
    for result in found:
        assert (result.data_sha256, result.weights_sha256) == (dataset.sha256, digest(trained.state_dict()))


@pytest.mark.parametrize("name", TRAINING)
def test_the_recipe_of_a_training_is_too(name, dataset, trained):
    first = run(name, trained, dataset)
    assert (first.options["epoch"], first.options["lr"], first.options["batch_size"]) == (1, 0.05, 20)
    assert first.options["cutout"] is False and first.environment["precision"] == "fp32"
    changes = [
        {"training": TrainingOptions(epoch=2, lr=0.05)},
        {"batch_size": 30},
        {"augmentation": Augmentation(padding=0, flip=False, cutout_length=2)},
        {"augmentation": Augmentation(padding=0, flip=True)},
        {"augmentation": Augmentation(padding=1, flip=False)},
        {"training": TrainingOptions(epoch=1, lr=0.05, precision="bf16")},
    ]
    others = [run(name, trained, dataset, **change) for change in changes]
    assert len({result.file_name() for result in (first, *others)}) == len(changes) + 1
    assert others[-1].environment["precision"] == "bf16"


@pytest.mark.parametrize(("engine", "precision"), [("native", "bf16"), ("art", "fp32")])
def test_auto_is_what_it_came_to(engine, precision, dataset, trained, monkeypatch):
    monkeypatch.setattr("autovul.base.training.precision._native_bf16", lambda device: True)
    knockoff = attacks.create("knockoff", nb_stolen=40, engine=engine)
    setup = Setup(training=TrainingOptions(epoch=1, precision="auto"), augmentation=PLAIN)
    assert knockoff.run(trained, dataset, setup).environment["precision"] == precision


def test_whoever_records_all_options_is_not_told_the_recipe(dataset, trained):
    assert "epoch" not in run("poison_random", trained, dataset, options_recorded=True).options


def test_two_networks_without_a_name_are_two(dataset):
    def net(*layers: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(192, 3))

    names = [describe(net(*layers))["model"] for layers in ((), (nn.ReLU(),), (nn.Tanh(),))]
    assert len(set(names)) == 3 and all(name.startswith("Sequential-") for name in names)
    assert describe(make_network(0)) == describe(make_network(1)), "the weights are another matter"
    strided = [net(nn.Conv2d(3, 3, 2, stride=2, padding=4), nn.Dropout(p)) for p in (0.1, 0.9)]
    assert len({describe(each)["model"] for each in strided}) == 2
    named = net()
    named.name = "mine"
    assert describe(named) == {"model": "mine", "group": "yours"}


def test_the_report_keeps_other_data_apart_and_names_other_arithmetic(trained):
    runs = [run("poison_random", trained, make_dataset(seed=seed)) for seed in (0, 1)]
    assert len(build(runs).sections) == 2
    bf16 = run("poison_random", trained, make_dataset(), training=TrainingOptions(epoch=1, lr=0.05, precision="bf16"))
    # As `--precision auto` records them on two machines.
    auto = [r.replace(seed=n, options={**r.options, "precision": "auto"}) for n, r in enumerate((runs[0], bf16))]
    text = build(auto).text()
    assert "Trainings of these runs were computed in different arithmetic: bf16" in " ".join(text.split())
    assert "different arithmetic" not in build([auto[0], auto[0].replace(seed=5)]).text()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"attack_batch": 0}, ValueError, "attack_batch must be at least 1, got 0"),
        ({"valid_batch": -1}, ValueError, "valid_batch must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"training": {"epoch": 1}}, TypeError, "training must be TrainingOptions.* or None, got dict"),
    ],
)
def test_a_setup_that_cannot_be_meant(given, error, message):
    with pytest.raises(error, match=message):
        Setup(**given)


class WithExtraState(nn.Linear):
    """Its ``state_dict`` holds more than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


def test_unusual_networks_have_records(dataset):
    torch.manual_seed(0)
    odd = nn.Sequential(nn.Flatten(), WithExtraState(192, 3))
    result = attacks.create("pgd", test_num=2).run(odd, dataset)
    assert result.weights_sha256 == validate(odd, dataset).weights_sha256 != ""
    assert describe(nn.Sequential(nn.LazyLinear(3)))["model"].startswith("Sequential-")


def test_a_wrapped_network_is_the_network(dataset, trained):
    plain, compiled = validate(trained, dataset), torch.compile(trained, backend="eager")
    for wrapped in (nn.DataParallel(trained), compiled, nn.DataParallel(compiled)):
        found = attacks.create("membership", **ASKING["membership"]).run(wrapped, dataset)
        assert (found.model, found.weights_sha256) == (plain.model, plain.weights_sha256)


def test_files_of_other_weights_and_data_are_other_files(dataset, trained, tmp_path):
    paths = {validate(net, data).write(tmp_path) for net, data in
             ((trained, dataset), (make_network(3), dataset), (trained, make_dataset(seed=1)))}  # fmt: skip
    assert len(paths) == 3
