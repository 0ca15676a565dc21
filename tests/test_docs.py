"""Pages that lead nowhere, and code in them that does not run."""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from autovul.base.experiments import load_experiments, load_scale
from autovul.base.report import build
from autovul.base.result import Metric
from autovul.vision import attacks, commands, datasets, models
from autovul.vision.datasets import ImageDataset, ImageSplit
from autovul.vision.models.registry import networks
from autovul.vision.utils.model_archs.darts.genotypes import load_genotype
from tests.base.report.records import make, training

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_commands_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"python -m autovul\.(\w+)", text))
    assert named
    assert all((ROOT / "autovul" / f"{command}.py").exists() for command in named)


def test_the_readmes_python_runs_on_what_the_quickstart_leaves(tmp_path, monkeypatch, capsys):
    """Without a training: the network that the smoke scale would train lies where the quickstart would put it."""
    monkeypatch.chdir(tmp_path)
    scale = load_scale("smoke")
    model = models.create("darts", dataset=datasets.create(scale.dataset), **scale.cells)
    path = Path("quickstart/data/model/image", scale.dataset, f"darts{scale.suffix}.pth")
    path.parent.mkdir(parents=True)
    torch.save(model.state_dict(), path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {})
    assert "Metric(value=" in capsys.readouterr().out


@pytest.fixture
def extending(monkeypatch, tmp_path):
    """The examples of docs/extending.md, run with the names that their files would import."""
    from torch import nn

    from autovul.base.options import option
    from autovul.vision.attacks.base import registry
    from autovul.vision.attacks.evasion.attack import EvasionAttack
    from autovul.vision.attacks.evasion.perturbation import Perturbation
    from autovul.vision.models.registry import Parts, register
    from autovul.vision.utils.model_archs.darts import operations

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(operations, "BUILDERS", dict(operations.BUILDERS))
    for table in (networks, registry):
        monkeypatch.setattr(table, "_entries", dict(table._entries))
    names = {"torch": torch, "nn": nn, "option": option, "registry": registry, "EvasionAttack": EvasionAttack,
             "Perturbation": Perturbation, "Parts": Parts, "register": register}  # fmt: skip
    for code in in_extending():
        if "import timm" not in code:
            exec("from typing import ClassVar\n" + code, names)
    return names


def in_extending():
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_example_with_timm_works(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    (tmp_path / "my_timm.py").write_text(next(code for code in in_extending() if "import timm" in code))
    monkeypatch.chdir(tmp_path)
    assert models.create("my_timm:vit", num_classes=7)(torch.rand(2, 3, 32, 32)).shape == (2, 7)


def test_the_examples_of_extending_work(extending):
    model = models.create("tiny", width=0.5)
    assert model.name == "tiny"
    images = torch.rand(4, 3, 32, 32)
    assert model(images).shape == (4, 10)
    noise = attacks.create("noise", size=0.1)
    noisy, iterations = noise.perturb(model, images, torch.zeros(4, dtype=torch.int64))
    assert 0.05 < (noisy - images).abs().max() <= 0.1 + 1e-6
    assert iterations.tolist() == [-1] * 4
    # It asks for no logits itself, and is judged all the same: where the target is the top class and its confidence
    # above the threshold.
    top = model(images).argmax(1)
    sure = attacks.create("noise", size=0.0, iteration=3, stop_threshold=0.0, require_class=True)
    assert sure.perturb(model, images, top)[1].tolist() == [3] * 4
    assert sure.perturb(model, images, (top + 1) % 10)[1].tolist() == [-1] * 4
    split = ImageSplit(torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    torch.manual_seed(0)
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    split = ImageSplit(split.images, linear(split.pixels()).argmax(1))
    dataset = ImageDataset.of("mine", split, split, [*"0123456789"])
    metrics = attacks.create("noise", size=1.0, target_idx=0, stop_threshold=1.0).run(linear, dataset).metrics
    assert metrics["success_rate"].value == metrics["misclassification_rate"].value > 0
    assert metrics["mean_iterations"].value < 14


def test_the_cells_that_extending_draws_are_judged_as_its_experiment_says(extending, tmp_path):
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (tmp_path / "my_space.yaml").write_text(re.findall(r"```yaml\n(title: .*?)```", text, flags=re.DOTALL)[0])
    mine = load_experiments(["my_space.yaml"])["my_space"]
    assert sorted(mine.networks) == sorted(path.name for path in tmp_path.glob("mine_*.yaml"))
    assert {op for name in mine.networks for op, _ in load_genotype(name).normal} == {*extending["SPACE"]}
    assert models.create("darts", genotype="mine_1.yaml", layers=2, init_channels=4).group == "yours"
    records = []
    for number, seed in product(range(1, 9), (1, 2)):
        loss = {"early_train_loss": Metric(1.0 + number / 10 + seed / 100, "nats")}
        records.append(training(f"mine_{number}", "yours", seed, 90.0, metrics=loss))
        attack = make(f"mine_{number}", "yours", seed, 80.0 - number + seed / 2)
        records.append(attack.replace(options=attack.options | mine.options | {"target_idx": -1}))
    (found,) = [each for each in build(records, experiments={"mine": mine}).findings if each.reading.second]
    assert [network.name for network in found.reading.first] == [f"mine_{number}" for number in range(1, 5)]
    assert found.reading.difference.estimate == pytest.approx(4) and found.verdict.direction == "holds"


def test_the_operation_of_extending_is_one_of_a_network(extending, tmp_path, monkeypatch):
    from autovul.vision.utils.model_archs.darts import operations

    monkeypatch.delitem(operations.BUILDERS, "conv_3x3")
    (code,) = [code for code in in_extending() if "conv_3x3(" in code]
    (tmp_path / "my_cells.py").write_text(code)
    monkeypatch.delitem(sys.modules, "my_cells", raising=False)
    model = models.create("my_cells:build", num_classes=7, data_shape=(1, 16, 16))
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 7)
    assert model.get_fm(torch.rand(2, 1, 16, 16)).shape[2:] == (4, 4)
    assert "features.cells.0._ops.0.conv.weight" in model.state_dict()


def test_the_configuration_pages_example_means_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(dataset: digits\n.*?)```", text, flags=re.DOTALL)
    (tmp_path / "configs" / "vision").mkdir(parents=True)
    (tmp_path / "configs" / "vision" / "mine.yaml").write_text(example)
    train = commands.read("train", [])
    assert (train.dataset, train.training.lr, train.training.grad_clip) == ("digits", 0.01, None)
    assert (train.training.epoch, train.data.batch_size) == (250, 64)
    assert commands.read("train", ["-d", "cifar10"]).training.epoch == 600
    attack = commands.read("adv_attack", [])
    assert (attack.algorithm.pgd_eps, attack.algorithm.iteration) == (4 / 255, 20)
    assert commands.read("adv_attack", ["-d", "cifar10"]).algorithm.iteration == 7


def test_the_data_pages_way_from_a_torch_dataset_works():
    from PIL import Image

    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import torch\n.*?)```", text, flags=re.DOTALL)
    tensors = [(torch.full((3, 4, 4), 40 * number, dtype=torch.uint8), number % 2) for number in range(4)]
    pictures = [(Image.new("RGB", (4, 4), (10, 20, 30)), 1)]
    names = {"train_set": tensors, "valid_set": pictures}
    exec(code, names)
    pets = names["pets"]
    assert pets.class_names == ["cat", "dog"] and pets.train.labels.tolist() == [0, 1, 0, 1]
    assert pets.valid.images[0, :, 0, 0].tolist() == [10, 20, 30]
    assert pets.mean == pytest.approx((60 / 255,) * 3) and pets.std == pytest.approx((2000**0.5 / 255,) * 3)
