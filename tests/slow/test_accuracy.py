"""Full-size training on real images reaches the accuracy that it should."""

from __future__ import annotations

import os

import pytest
import torch

from autovul import train
from autovul.base.result import read_results

RECIPE = ["--lr_scheduler", "--grad_clip", "5", "--validate_interval", "30", "--precision", "auto", "--no-save"]


@pytest.fixture(autouse=True)
def all_cores():
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(1)


@pytest.mark.slow
def test_resnet18_learns_the_digits(workspace):
    assert train.main(["-d", "digits", "-m", "resnet18_comp", *RECIPE]) == 0
    (result,), _ = read_results([workspace / "data" / "result"])
    assert result.metrics["valid_accuracy"].value >= 98
