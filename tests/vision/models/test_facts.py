"""Facts of networks against numbers known from papers or counted by hand."""

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.vision import models
from autovul.vision.models.facts import facts

SHAPE = (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "depth", "skips"),
    [
        ("resnet18_comp", 18, 8 - 3),
        ("wide_resnet50_2_comp", 50, 16 - 4),
        ("resnext50_32x4d_comp", 50 - 9, 13 - 3),
        ("bit-m-r50x1_comp", 50, 16 - 4),
        ("densenet121_comp", 121, 6 + 12 + 24 + 16),
        ("dla34_comp", 34, 6 + 8),
        ("vgg13_bn_comp", 13, 0),
        ("darts", 130, 18 * 2 + 2 * 3),
        ("diy_noskip", 130, 2 * 3),
    ],
)
def test_depth_and_skips(name, depth, skips, published):
    found = facts(models.create(name), SHAPE)
    assert (found.depth, found.skips, found.parameters) == (depth, skips, published[name]["params"])


def test_multiply_adds_of_resnet18_by_hand():
    def stage(channels, side, before):
        first = (9 * before * channels + 9 * channels**2 + (before * channels if before != channels else 0)) * side**2
        return first + 2 * 9 * channels**2 * side**2

    by_hand = 27 * 64 * 32**2 + stage(64, 32, 64) + stage(128, 16, 64) + stage(256, 8, 128) + stage(512, 4, 256) + 5120
    found = facts(models.create("resnet18_comp"), SHAPE).multiply_adds
    assert found == by_hand
    assert found == pytest.approx(0.556e9, rel=0.002)


def test_grouped_and_dilated_convolutions_count_their_own_channels():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4), nn.Flatten(), nn.Linear(8 * 25, 2))
    assert facts(net, (4, 5, 5)).multiply_adds == 25 * 8 * 9 + 400


class Joins(nn.Module):
    """Two identity shortcuts (an addition, a concatenation), a projection and an addition without a layer between."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        x = x.relu()
        x = x + self.a(x).relu()
        x = self.b(x) + self.c(x)
        x = x + x.relu()
        return self.fc(torch.cat([x, self.a(x)], 1).mean((2, 3)))


def test_identity_shortcuts_of_any_network():
    found = facts(Joins(), (3, 4, 4))
    assert (found.skips, found.depth) == (2, 4)


def test_the_network_is_left_as_it_was():
    model = models.create("darts", layers=2, init_channels=4).train()
    model.features.cells[0].eval()
    frozen = next(model.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    rng = torch.get_rng_state()
    with torch.no_grad():
        assert facts(model, SHAPE).depth >= 4
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(rng, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters()) and not frozen.requires_grad
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_network_without_a_path_is_refused():
    class Constant(nn.Module):
        def forward(self, x):
            return x.new_zeros(len(x), 10)

    with pytest.raises(UserError, match="not differentiable in the image"):
        facts(Constant(), SHAPE)


def test_attention_counts_by_its_matrix_products():
    tokens, width, heads, classes = 4, 8, 2, 3

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
            self.head = nn.Linear(width, classes)

        def forward(self, x):
            x = x.flatten(2).transpose(1, 2)
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    projections = 4 * tokens * width * width
    products = 2 * tokens * tokens * width
    assert facts(Attention(), (width, 2, 2)).multiply_adds == projections + products + width * classes
