"""Networks whose figures mean less than they seem to: what is noticed, what is not, and where it is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autovul import grad_var, validate
from autovul.base.report import build
from autovul.base.result import read_results
from autovul.vision.doubts import PROBABILITIES, RANDOM, doubts

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    def __init__(self, kind: str = "plain") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.kind = nn.Linear(192, 5), kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "noise":
            x = x + 0.1 * torch.randn_like(x)
        logits = self.linear(x.flatten(1))
        if self.kind == "dropout":
            return nn.functional.dropout(logits, 0.5)
        if self.kind in ("softmax", "log_softmax"):
            return getattr(logits, self.kind)(1)
        return logits * {"diverged": torch.nan, "large": 1e4}.get(self.kind, 1.0)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        *[(kind, []) for kind in ("plain", "log_softmax", "diverged", "large")],
        *[(kind, [RANDOM]) for kind in ("noise", "dropout")],
        ("softmax", [PROBABILITIES]),
    ],
)
def test_what_is_doubtful(kind: str, found: list[str]) -> None:
    model, before = Network(kind), torch.get_rng_state()
    assert doubts(model, IMAGES) == found
    assert model.training and torch.equal(torch.get_rng_state(), before)


OWN = """
import torch
from torch import nn
class Noisy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.linear = nn.Linear(3072, num_classes)
    def forward(self, x):
        return self.linear(x.flatten(1) + torch.randn(3072))
"""


def test_the_summary_and_the_report_say_so(workspace, capsys):
    (workspace / "doubtful_nets.py").write_text(OWN)
    arguments = ["-d", "digits", "-m", "doubtful_nets:Noisy", "--no-pretrain", "--device", "cpu"]
    assert validate.main(arguments) == 0
    assert f"doubtful: {RANDOM}" in capsys.readouterr().out
    assert grad_var.main([*arguments[:4], "--sample_num", "4", "--device", "cpu"]) == 0
    results, _ = read_results([workspace / "data/result"])
    text = build(results).markdown()
    assert text.count(f"doubtful_nets.Noisy is doubtful: {RANDOM.split(':')[0]}") == 2
