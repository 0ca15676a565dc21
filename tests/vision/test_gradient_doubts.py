"""Networks whose gradients hide how weak they are: told from those that are strong, and from those that are weak."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autovul import adv_attack, train
from autovul.base.result import Result
from autovul.vision.gradient_doubts import FLAT, MISLEADING, NONE_NEAR, doubts_of_gradients, doubts_of_search

IMAGES = torch.rand(80, 3, 8, 8, generator=torch.Generator().manual_seed(1))
HIDDEN = {
    "rounded": lambda x: (8 * x).round() / 8,
    "reversed": lambda x: 2 * x.detach() - x,
    "shattered": lambda x: x + 0.02 * torch.sin(400 * x),
    "of few pixels": lambda x: torch.where(torch.eye(8) * torch.arange(8) == 7, x, x.detach()),
    "detached": torch.detach,
}
OPEN = {
    "plain": lambda x: x,
    "rounded, straight through": lambda x: x + ((8 * x).round() / 8 - x).detach(),
    "normalised": lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True),
}


class Network(nn.Module):
    def __init__(self, before, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 5))
        self.before, self.scale = before, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layers(self.before(x))


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_weakness_is_noticed(name) -> None:
    """All of them say of each image what the plain network says of it, or of the rounded one."""
    model, state = Network(HIDDEN[name]), torch.get_rng_state()
    (doubt,) = doubts_of_gradients(model, IMAGES, model(IMAGES).argmax(1))
    assert doubt.startswith(MISLEADING.split("{}")[0]) and "of 32 images" in doubt
    assert model.training and torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
@pytest.mark.parametrize("name", OPEN)
def test_a_weakness_that_gradients_show_is_none_to_doubt(name, scale) -> None:
    model = Network(OPEN[name], scale)
    with torch.inference_mode():
        labels = model(IMAGES).argmax(1)
    assert doubts_of_gradients(model, IMAGES, labels) == []


def test_few_images_that_are_right_tell_nothing() -> None:
    model = Network(HIDDEN["reversed"])
    right = model(IMAGES).argmax(1)
    wrong = (right + 1) % 5
    for count, told in ((0, 0), (15, 0), (16, 1)):
        labels = torch.cat((right[:count], wrong[count:]))
        assert len(doubts_of_gradients(model, IMAGES, labels)) == told


@pytest.mark.parametrize(
    ("counts", "doubt"),
    [
        ({"images": 100, "zero_gradients": 5}, None),
        ({"images": 100, "zero_gradients": 6}, FLAT.format(6, 100)),
        ({"images": 100, "zero_gradients": 0, "without_adversarial": 5}, None),
        ({"images": 100, "zero_gradients": 40, "without_adversarial": 6}, NONE_NEAR.format(6, 100)),
        ({}, None),
    ],
)
def test_what_a_record_counts_is_read(counts, doubt) -> None:
    result = Result("adv_attack", "digits", "mine", "yours", seed=1, metrics={}, counts=counts)
    assert doubts_of_search(result) == ([] if doubt is None else [doubt])


OWN = """
import torch
from torch import nn
class Plain(nn.Module):
    scale = 1
    def __init__(self, num_classes):
        super().__init__()
        self.linear = nn.Linear(3072, num_classes)
    def forward(self, x):
        return self.scale * self.linear(x.flatten(1))
class Large(Plain):
    scale = 30
class Reversed(Plain):
    def forward(self, x):
        return super().forward(2 * x.detach() - x)
"""


def test_the_command_says_so_where_it_follows_gradients(workspace, capsys):
    (workspace / "hidden_nets.py").write_text(OWN)
    common = ["-d", "digits", "--device", "cpu", "--no-tqdm"]
    folder = workspace / "data/model/image/digits"
    assert train.main([*common, "-m", "hidden_nets:Plain", "--epoch", "5"]) == 0
    for name in ("Large", "Reversed"):
        folder.joinpath(f"hidden_nets.{name}.pth").write_bytes(folder.joinpath("hidden_nets.Plain.pth").read_bytes())
    attack = [*common, "--target_idx", "0", "--test_num", "40", "-m"]

    def told(*arguments: str) -> str:
        capsys.readouterr()
        assert adv_attack.main([*attack, *arguments]) == 0
        return capsys.readouterr().out

    assert "doubtful" not in told("hidden_nets:Plain")
    assert "doubtful: with every pixel free to change" in told("hidden_nets:Reversed")
    assert "doubtful: with every pixel free to change" in told("hidden_nets:Reversed", "--iteration", "0")
    queried = ("--grad_method", "nes", "--query_num", "2", "--sigma", "0.01", "--iteration", "1")
    assert "doubtful" not in told("hidden_nets:Reversed", *queried)
    searched = ("--attack", "hop_skip_jump", "--max_queries", "20")
    assert "doubtful" not in told("hidden_nets:Reversed", *searched)
    assert "doubtful: the gradient was 0 for " in told("hidden_nets:Large")
    found = told("hidden_nets:Reversed", "--attack", "fmn")
    assert "no adversarial example was found at any distance" in found and "with every pixel free" in found
    assert "doubtful" not in told("hidden_nets:Large", "--attack", "fmn")
