"""``--deterministic``: twice the same bits, of weights and of what attacks find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from autovul.base.checkpoint import digest, load_state
from autovul.base.environ import EnvironmentOptions
from autovul.vision import models
from autovul.vision.attacks.base import untouched
from autovul.vision.datasets import Augmentation
from autovul.vision.datasets.batches import generator_of
from tests.cuda.small import large_patches, small, there

pytestmark = pytest.mark.cuda
ROOT = Path(__file__).parents[2]
TRAINING = ("--epoch=1", "--batch_size=64", "--lr=0.05")
COMMANDS = {
    "train": ("--epoch=4", "--batch_size=32", "--lr=0.05", "--cutout", "--grad_clip=5"),
    "adv_attack": ("--iteration=3", "--num_restart=1"),
    "poison": (*TRAINING, "--poison_percent=0.2"),
    "backdoor": (*TRAINING, "--poison_percent=0.1", "--random_pos"),
    "extraction": (*TRAINING, "--nb_stolen=200"),
    "membership": ("--sample_num=10", "--max_iter=2", "--confidence_filter=none"),
    "grad_var": ("--sample_num=32", "--norm_statistics=batch", "--statistics_num=64"),
    "loss_contour": ("--sample_num=16", "--points=3"),
}
NETWORKS = {"vgg13_bn_comp": ("--width=0.0625",), "nasnet": ("--layers=3", "--init_channels=4")}
PROGRAM = "import sys, json; from autovul.__main__ import main; sys.exit(max(map(main, json.loads(sys.argv[1]))))"


def found(folder: Path, name: str, device: torch.device) -> dict[str, object]:
    """What all commands find in a process of their own, but for times."""
    folder.mkdir()
    common = [f"--model={name}", *NETWORKS[name], "-d=digits", "--no-tqdm", "--deterministic", f"--device={device}"]
    lines = [[command, *common, *options] for command, options in COMMANDS.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    environment.pop("CUBLAS_WORKSPACE_CONFIG", None)  # the command is to set it
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(lines)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("data/result/*/*.json")}
    assert {*records} == {*COMMANDS}
    weights = {str(path.relative_to(folder)): digest(load_state(path)) for path in folder.rglob("*.pth")}
    assert len(weights) >= 4
    figures = {
        experiment: [_timeless(row) for row in (record["metrics"], *record["series"])]
        for experiment, record in records.items()
    }
    return {**weights, **figures}


def _timeless(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if "second" not in name}


@pytest.mark.parametrize("name", NETWORKS)
def test_twice_the_same(device, tmp_path, name):
    first, second = (found(tmp_path / folder, name, device) for folder in ("first", "second"))
    for key, value in first.items():
        assert value == second[key], key


@pytest.mark.parametrize("name", [*models.list(), "sampled_1"])
def test_no_network_has_an_operator_without_a_deterministic_form(device, name):
    EnvironmentOptions(deterministic=True, device=str(device)).apply()
    model = there(small(name), device)
    images = large_patches(16, 15).train.pixels(slice(0, 8)).to(device)
    labels = large_patches(16, 15).train.labels[:8].to(device)
    gradients = []
    for _ in range(2):
        with untouched(model):  # eval mode: running statistics are to stay
            pixels = images.clone().requires_grad_()
            model.requires_grad_()
            inner = [*model.parameters()]
            loss = cross_entropy(model(pixels), labels)
            gradients.append(torch.autograd.grad(loss, [pixels, *inner], materialize_grads=True, allow_unused=True))
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def test_augmentation_too(device):
    EnvironmentOptions(deterministic=True, device=str(device)).apply()
    images, vary = large_patches().train.images.to(device), Augmentation(auto_augment=True, cutout_length=8)
    one, other = (vary(images, generator_of(1)) for _ in range(2))
    assert torch.equal(one, other)
