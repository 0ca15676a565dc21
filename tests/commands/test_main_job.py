"""The main job end to end on real images: train, validate, attack, report; with a network that trains in seconds."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch

from autovul import adv_attack, grad_var, loss_contour, report, train, validate
from autovul.base.checkpoint import digest, load_state, save_state
from autovul.base.result import Result, read_results
from autovul.vision import commands, datasets, models, training
from autovul.vision.utils.model_archs.darts.genotypes import GENOTYPES, write_genotype

TINY = ["-d", "digits", "-m", "resnet18_comp", "--width", "0.0625", "--device", "cpu", "--no-tqdm"]
# Small batches and a falling rate, so that two epochs give a network worth attacking on whatever CPU.
RECIPE = ["--epoch", "2", "--validate_interval", "1", "--lr", "0.02", "--lr_scheduler", "--batch_size", "32"]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("USERPROFILE", str(folder))
        patch.chdir(folder)
        assert train.main([*TINY, *RECIPE]) == 0
    return folder


@pytest.fixture
def trained(trained_once, workspace):
    shutil.copytree(trained_once / "data", workspace / "data")
    return workspace


def only_result(folder, experiment) -> Result:
    results, refused = read_results([folder / "data" / "result" / experiment])
    assert not refused
    assert len(results) == 1
    return results[0]


def test_training_leaves_weights_log_and_result(trained, capsys):
    models = trained / "data" / "model" / "image" / "digits"
    assert sorted(path.name for path in models.iterdir()) == ["resnet18_comp.pth", "resnet18_comp_best.pth"]
    result = only_result(trained, "train")
    assert result.status == "ok"
    assert result.group == "manual"
    assert result.options["lr"] == 0.02
    assert result.options["epoch"] == 2
    assert result.weights_sha256 == digest(load_state(models / "resnet18_comp.pth"))
    assert len(result.data_sha256) == 64
    assert [row["epoch"] for row in result.series] == [0, 1, 2]
    last, best = (result.metrics[name].value for name in ("valid_accuracy", "best_valid_accuracy"))
    assert last == result.series[-1]["valid_accuracy"]
    assert best == max(row["valid_accuracy"] for row in result.series)
    assert result.metrics["valid_accuracy"].count == 359
    early = result.metrics["early_train_loss"]
    assert (early.value, early.unit, early.count) == (result.series[1]["train_loss"], "nats", 1438)
    assert result.facts["parameters"] == sum(
        tensor.numel()
        for key, tensor in load_state(models / "resnet18_comp.pth").items()
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )
    log = (trained / "data/log/image/digits/resnet18_comp.jsonl").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "start"
    assert events.count("epoch") == 2


def test_the_rest_of_the_job(trained, capsys):
    accuracy = only_result(trained, "train").metrics["valid_accuracy"]
    assert validate.main(TINY) == 0
    assert only_result(trained, "validate").metrics["valid_accuracy"] == accuracy
    assert adv_attack.main([*TINY, "--target_idx", "0"]) == 0
    attacked = only_result(trained, "adv_attack")
    assert attacked.options["pgd_eps"] == pytest.approx(24 / 255)
    assert attacked.options["pgd_alpha"] == pytest.approx(6 / 255)
    assert attacked.metrics["mean_linf"].value <= 24 + 1e-3
    confidence = {when: attacked.metrics[f"original_confidence_{when}"].value for when in ("before", "after")}
    assert confidence["after"] < confidence["before"]
    assert (trained / "data/attack/image/digits/resnet18_comp/pgd/examples.png").exists()
    capsys.readouterr()
    assert report.main([]) == 0
    text = capsys.readouterr().out
    assert "resnet18_comp" in text
    assert f"{accuracy.value:.2f}"[:4] in text
    page = (trained / "data/report/report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")


def test_command_line_units_of_epsilon(trained, capsys):
    assert adv_attack.main([*TINY, "--pgd_eps", "16", "--pgd_alpha", "4/255", "--test_num", "5"]) == 0
    options = only_result(trained, "adv_attack").options
    assert options["pgd_eps"] == pytest.approx(16 / 255)
    assert options["pgd_alpha"] == pytest.approx(4 / 255)
    assert "seed 1228; L∞, ε 16/255, step 4/255" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_weights_and_another_does_not(workspace):
    digests = set()
    for suffix, seed in (("_a", "1"), ("_b", "1"), ("_c", "2")):
        assert train.main([*TINY, *RECIPE, "--suffix", suffix, "--seed", seed]) == 0
        digests.add((seed, digest(load_state(workspace / f"data/model/image/digits/resnet18_comp{suffix}.pth"))))
    assert len(digests) == 2
    assert len({value for _, value in digests}) == 2


def test_a_finished_run_is_not_trained_again_on_resume(trained, capsys):
    before = (trained / "data/model/image/digits/resnet18_comp.pth").stat().st_mtime_ns
    assert train.main([*TINY, *RECIPE, "--resume"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert (trained / "data/model/image/digits/resnet18_comp.pth").stat().st_mtime_ns == before


def test_a_file_of_cells_that_has_changed_makes_another_network(workspace, capsys):
    cells = workspace / "cells.yaml"
    size = ["--layers", "2", "--init_channels", "2", "--epoch", "1", "--no-tqdm", "--device", "cpu"]
    for name, known in (("darts", False), ("darts", True), ("drnas", False)):
        write_genotype(cells, GENOTYPES[name])
        assert train.main(["-d", "digits", "-m", "darts", "--genotype", str(cells), *size, "--resume"]) == 0
        assert ("finished already" in capsys.readouterr().out) is known


def test_a_stopped_training_does_not_go_on_with_other_cells(workspace):
    cells, identities = workspace / "cells.yaml", []
    arguments = ["-d", "digits", "-m", "darts", "--genotype", str(cells), "--layers", "2", "--init_channels", "2"]
    genotype, dataset = GENOTYPES["drnas"], datasets.create("digits")
    for operation in ("max_pool_3x3", "avg_pool_3x3", "max_pool_3x3"):
        write_genotype(cells, genotype._replace(normal=[(operation, 0), *genotype.normal[1:]]))
        settings = commands.read("train", arguments)
        identities.append(training._identity(models.from_options(settings.model, dataset), settings, dataset))
    assert identities[0] == identities[2] != identities[1]
    settings = commands.read("train", ["-d", "digits", "-m", "drnas", "--layers", "2", "--init_channels", "2"])
    known = training._identity(models.from_options(settings.model, dataset), settings, dataset)
    assert known["genotype"] is None, "states of the package's networks from before still hold"


def test_weights_of_other_cells_are_not_taken_for_those_of_the_file(workspace, capsys):
    """The cells differ in operations without weights, so that the weights fit."""
    cells, size = workspace / "cells.yaml", ["--layers", "2", "--init_channels", "2", "--device", "cpu"]
    network = ["-d", "digits", "-m", "darts", "--genotype", str(cells), *size]
    genotype = GENOTYPES["drnas"]
    for operation in ("max_pool_3x3", "avg_pool_3x3"):
        write_genotype(cells, genotype._replace(normal=[(operation, 0), *genotype.normal[1:]]))
        assert train.main([*network, "--epoch", "1", "--no-tqdm"]) == 0
        assert validate.main(network) == 0
    kept = cells.read_text()
    cells.write_text(kept.replace("avg_pool_3x3", "max_pool_3x3", 1))
    for command in (validate, adv_attack, loss_contour):
        assert command.main(network) == 1
        assert "were trained with other cells than those that the file holds now" in capsys.readouterr().err
    assert grad_var.main([*network, "--pretrain"]) == 1
    assert grad_var.main([*network, "--sample_num", "4"]) == 0, "untrained weights are of no other cells"
    cells.write_text(kept)
    assert validate.main(network) == 0


def test_a_network_that_gives_nan_from_the_start_has_diverged(trained, capsys):
    path = trained / "data/model/image/digits/resnet18_comp.pth"
    state = load_state(path)
    state["features.bn1.running_var"].fill_(-1.0)
    save_state(path, state)
    assert train.main([*TINY, *RECIPE, "--pretrain", "--overwrite"]) == 1
    assert "epoch 0, step 0: the loss or a weight is not finite" in capsys.readouterr().out


def test_weights_that_no_training_made_are_not_replaced(trained, capsys):
    path = trained / "data/model/image/digits/resnet18_comp.pth"
    again = [*TINY, "--epoch", "0"]
    assert train.main([*TINY, *RECIPE, "--no-save"]) == 0, "the record is of the same weights"
    assert train.main([*again, "--seed", "5"]) == 0, "those of another training are replaced"
    save_state(path, {key: value + 1 for key, value in load_state(path).items()})
    foreign = path.read_bytes()
    # The record of a training that saved nothing, or diverged, may name the weights that it began with.
    assert train.main([*again, "--pretrain", "--no-save"]) == 0
    assert train.main([*TINY, "--epoch", "1", "--pretrain", "--lr", "1e30", "--no-save"]) == 1
    for options in ([], ["--seed", "5"], ["--resume"], ["--pretrain"]):
        capsys.readouterr()
        assert train.main([*again, *options]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "resnet18_comp.pth holds weights that no training recorded in" in error
        assert all(word in error for word in ("--suffix=_new", "--no-save", "--overwrite"))
    assert train.main([*again, "--suffix=_new"]) == 0
    assert path.read_bytes() == foreign
    path.write_text("a file that is no state_dict")
    assert train.main(again) == 1
    path.write_bytes(foreign)
    assert train.main([*again, "--pretrain", "--overwrite"]) == 0
    assert train.main(again) == 0, "and these are a training's now"


def test_a_training_that_was_killed_before_its_record_goes_on_with_resume(trained):
    path = trained / "data/model/image/digits/resnet18_comp.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "discard_state", lambda *args: None)
        assert train.main([*TINY, *RECIPE]) == 0
    shutil.rmtree(trained / "data/result")
    assert path.with_suffix(".state").exists()
    assert train.main([*TINY, *RECIPE]) == 1
    assert train.main([*TINY, *RECIPE, "--resume"]) == 0


def test_no_save_saves_nothing(workspace):
    assert train.main([*TINY, "--epoch", "1", "--no-save"]) == 0
    assert not (workspace / "data" / "model").exists()
    assert only_result(workspace, "train").options["save"] is False


def test_a_run_that_diverges_is_marked_and_overwrites_nothing(trained, capsys):
    model = trained / "data/model/image/digits/resnet18_comp.pth"
    before = model.read_bytes()
    assert train.main([*TINY, "--epoch", "3", "--lr", "1e30"]) == 1
    assert model.read_bytes() == before
    assert model.with_name("resnet18_comp_diverged.pth").exists()
    results, _ = read_results([trained / "data/result/train"])
    diverged = next(result for result in results if result.status != "ok")
    assert diverged.status == "diverged"
    assert "not finite" in diverged.message
    assert "diverged" in capsys.readouterr().out


def test_an_attack_on_a_diverged_network_is_refused(trained, capsys):
    path = trained / "data/model/image/digits/resnet18_comp.pth"
    state = load_state(path)
    save_state(path, {key: value * torch.nan if value.is_floating_point() else value for key, value in state.items()})
    for command in (validate, adv_attack):
        assert command.main(TINY) == 1
        assert "diverged" in capsys.readouterr().err
    assert not (trained / "data/result/adv_attack").exists()


def test_own_model_end_to_end(workspace, monkeypatch, capsys):
    (workspace / "mine.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    own = ["-d", "digits", "-m", "mine:build", "--device", "cpu", "--no-tqdm"]
    assert train.main([*own, "--epoch", "3"]) == 0
    assert adv_attack.main(own) == 0
    result = only_result(workspace, "adv_attack")
    assert result.group == "yours"
    assert result.facts["parameters"] == 192 * 10 + 10


def test_a_module_that_draws_when_it_is_imported_draws_the_same_each_time(workspace):
    (workspace / "drawing.py").write_text(
        "import torch\nfrom torch import nn\nMASK = torch.rand(3)\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 10))\n"
        "        self.register_buffer('mask', MASK.clone())\n"
    )
    weights = []
    for folder in ("first", "second"):
        torch.rand(1)
        line = ["-d", "digits", "-m", "drawing:Net", "--sample_num", "4", "--no-tqdm", "--result_dir", folder]
        assert grad_var.main(line) == 0
        weights.append(read_results([workspace / folder])[0][0].weights_sha256)
        del sys.modules["drawing"]
    assert weights[0] == weights[1]
